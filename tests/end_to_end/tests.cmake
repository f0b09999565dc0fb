# Tests of the built takt as its users have it.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

add_test(NAME end_to_end/configs COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/rejected_configs_test.py $<TARGET_FILE:takt>)
