# The real daemon, killed again and again.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME crash/kill COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/run --kills 50 --build ${CMAKE_BINARY_DIR})
set_tests_properties(crash/kill PROPERTIES PROCESSORS 2 COST 500 TIMEOUT 900)
