# The takt binary as its users start it.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME cli/daemon COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/daemon_test.py $<TARGET_FILE:takt>)
set_tests_properties(cli/daemon PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
add_test(NAME cli/audit COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/audit_test.py $<TARGET_FILE:takt>)
set_tests_properties(cli/audit PROPERTIES TIMEOUT 300)
add_test(NAME cli/schema COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/schema_test.py $<TARGET_FILE:takt>)
add_test(NAME cli/shipped_pipelines
         COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/shipped_pipelines_test.py $<TARGET_FILE:takt>)
add_test(NAME cli/verbs COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/verbs_test.py $<TARGET_FILE:takt>)
add_test(NAME cli/trace COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/trace_test.py $<TARGET_FILE:takt>)
set_tests_properties(cli/trace PROPERTIES TIMEOUT 300)
add_test(NAME cli/dlq COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/dlq_test.py $<TARGET_FILE:takt>)
set_tests_properties(cli/dlq PROPERTIES TIMEOUT 300)
add_test(NAME cli/config_change
         COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/config_change_test.py $<TARGET_FILE:takt>)
set_tests_properties(cli/config_change PROPERTIES TIMEOUT 300)
