# The benchmark driver, run on a benchmark that this test makes up.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME bench/run COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/run_test.py)
