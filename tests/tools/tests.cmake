# Programs that prepare input for other tests.
add_executable(jsonl_to_flatbuffers ${CMAKE_SOURCE_DIR}/tests/tools/jsonl_to_flatbuffers.cc)
target_link_libraries(jsonl_to_flatbuffers PRIVATE takt_sources_decode)
target_compile_definitions(jsonl_to_flatbuffers PRIVATE TAKT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")

# The program reads back what it wrote and compares every field with the JSON.
add_test(NAME tools/jsonl_to_flatbuffers
         COMMAND jsonl_to_flatbuffers ${CMAKE_SOURCE_DIR}/tests/tools/sample.jsonl ${CMAKE_BINARY_DIR}/sample.flatbuffers)
set_tests_properties(tools/jsonl_to_flatbuffers PROPERTIES
                     PASS_REGULAR_EXPRESSION "10 records: 5 events, 3 malformed, 2 blank")

# The unit tests run 100,000 mutated messages a decoder; this one a million. Meant for a build with sanitizers.
if(TARGET tests_unit_sources_decode)
  add_test(NAME sanitize/decode_mutations COMMAND tests_unit_sources_decode --gtest_filter=Mutations.*)
  set_tests_properties(sanitize/decode_mutations PROPERTIES ENVIRONMENT TAKT_MUTATIONS=1000000 LABELS sanitize)
endif()
