# libFuzzer targets, clang only: the preset `fuzz`, which tests/fuzz/run builds. Not part of other builds.
add_custom_target(takt_fuzz_targets)

# takt_fuzz(NAME LIBRARY...): fuzz_NAME of NAME_fuzz.cc, with inputs to begin with in corpus/NAME.
function(takt_fuzz name)
  add_executable(fuzz_${name} EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/fuzz/${name}_fuzz.cc)
  target_compile_definitions(fuzz_${name} PRIVATE TAKT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(fuzz_${name} PRIVATE ${ARGN})
  add_dependencies(takt_fuzz_targets fuzz_${name})
endfunction()

if(TAKT_FUZZ)
  takt_fuzz(config takt_pipeline_config)
  takt_fuzz(csv takt_pipeline_state)
  takt_fuzz(delimited takt_sources_decode)
  takt_fuzz(durable_text takt_pipeline_journal takt_simulated_disk)
  takt_fuzz(expression takt_pipeline_expression)
  takt_fuzz(flatbuffers takt_sources_decode)
  takt_fuzz(frame takt_pipeline_journal)
  takt_fuzz(json takt_sources_decode)
  takt_fuzz(schema takt_sources_decode)
  takt_fuzz(snapshot takt_pipeline_journal)
endif()
