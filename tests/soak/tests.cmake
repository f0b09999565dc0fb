# A small soak with each fault: that it works and the ledger is right. It is too short to say anything of memory.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME soak/short COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/run --hours 12 --rate 12 --faults 1 --build ${CMAKE_BINARY_DIR})
set_tests_properties(soak/short PROPERTIES PROCESSORS 2 COST 30 TIMEOUT 600)
