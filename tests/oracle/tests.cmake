# Programs that compute the answers of the reference pipeline without takt.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_executable(batch_oracle ${CMAKE_CURRENT_LIST_DIR}/batch_oracle.cc)
target_include_directories(batch_oracle PRIVATE ${CMAKE_SOURCE_DIR})

add_test(NAME oracle/plant_cases COMMAND ${CMAKE_CURRENT_LIST_DIR}/plant_cases_test)
# $<TARGET_FILE> is resolved when all of tests/ is known.
add_test(NAME oracle/batch_cases
         COMMAND ${CMAKE_CURRENT_LIST_DIR}/batch_cases_test $<TARGET_FILE:batch_oracle> $<TARGET_FILE:jsonl_to_flatbuffers>)
set_tests_properties(oracle/plant_cases oracle/batch_cases PROPERTIES SKIP_RETURN_CODE 77 COST 50)
