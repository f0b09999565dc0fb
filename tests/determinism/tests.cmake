# Ten million events through several numbers of lanes, and through the batch oracle.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME determinism/answer COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/answer_test.py ${CMAKE_BINARY_DIR})
# Uses all cores, so nothing runs beside it; the first to start, for it is the longest.
add_test(NAME determinism/ten_million
         COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/ten_million --build ${CMAKE_BINARY_DIR})
set_tests_properties(determinism/ten_million PROPERTIES PROCESSORS 2 COST 1000 TIMEOUT 1200)
