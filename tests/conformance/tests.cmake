# The CEL conformance suite: tests/conformance/cel FILE... runs any files of that form.
add_executable(conformance_cel ${CMAKE_SOURCE_DIR}/tests/conformance/cel_cases.cc)
target_link_libraries(conformance_cel PRIVATE takt_pipeline_expression dep_simdjson)
add_test(NAME conformance/cel COMMAND ${CMAKE_SOURCE_DIR}/tests/conformance/cel_all $<TARGET_FILE:conformance_cel>)
set_tests_properties(conformance/cel PROPERTIES SKIP_RETURN_CODE 77)

# The reference pipeline's cases: tests/conformance/plant CASE_DIR OUT_DIR runs one.
add_test(NAME conformance/plant COMMAND ${CMAKE_CURRENT_LIST_DIR}/run_all)
set_tests_properties(conformance/plant PROPERTIES
  SKIP_RETURN_CODE 77 COST 100 TIMEOUT 1800
  ENVIRONMENT "TAKT_BINARY=$<TARGET_FILE:takt>;TAKT_CONVERTER=$<TARGET_FILE:jsonl_to_flatbuffers>")
