# Tests of the built takt as its users have it, and of whole pipelines on real servers in this process.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

add_executable(tests_end_to_end ${CMAKE_CURRENT_LIST_DIR}/live_table_test.cc)
target_link_libraries(tests_end_to_end PRIVATE takt_cli takt_test_support GTest::gtest GTest::gmock GTest::gtest_main)
target_compile_definitions(tests_end_to_end PRIVATE TAKT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
target_compile_options(tests_end_to_end PRIVATE -O0)
add_test(NAME end_to_end/live_table COMMAND tests_end_to_end)

# Daemon and source beside the client library's own fetch, in turns: as a test only that all see every message.
add_executable(jetstream_rate ${CMAKE_CURRENT_LIST_DIR}/jetstream_rate.cc)
target_link_libraries(jetstream_rate PRIVATE takt_cli takt_test_support)
target_compile_definitions(jetstream_rate PRIVATE TAKT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
add_test(NAME end_to_end/jetstream_rate COMMAND jetstream_rate 20000 0 1)

add_test(NAME end_to_end/nats_security COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/nats_security_test.py $<TARGET_FILE:takt>)
set_tests_properties(end_to_end/nats_security PROPERTIES COST 30)
add_test(NAME end_to_end/configs COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/rejected_configs_test.py $<TARGET_FILE:takt>)
add_test(NAME end_to_end/core_nats_state COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/core_nats_state_test.py $<TARGET_FILE:takt>)
add_test(NAME end_to_end/table_state COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/table_state_test.py $<TARGET_FILE:takt>)
add_test(NAME end_to_end/crash_isolation
         COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/crash_isolation_test.py $<TARGET_FILE:takt> $<TARGET_FILE:takt_with_crash_points>)
add_test(NAME end_to_end/outbox COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/outbox_test.py $<TARGET_FILE:takt>)
add_test(NAME end_to_end/jetstream_ledger COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/jetstream_ledger_test.py $<TARGET_FILE:takt>)
add_test(NAME end_to_end/jetstream_state COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/jetstream_state_test.py $<TARGET_FILE:takt>)
add_test(NAME end_to_end/network_cuts COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/network_cuts_test.py $<TARGET_FILE:takt>)
add_test(NAME end_to_end/zombie COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/zombie_test.py $<TARGET_FILE:takt>)
