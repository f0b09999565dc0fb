# The benchmark driver, run on a benchmark that this test makes up.
add_test(NAME bench/run COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/run_test.py)
