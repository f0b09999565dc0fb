# Which tests `./dev sanitize` runs once more: label `sanitize` under AddressSanitizer and UBSan (code that reads bytes of strangers, or keeps
# rows in memory of its own), label `engine` under ThreadSanitizer (code that shares state between threads). Building
# takt_sanitize_tests or takt_engine_tests builds exactly what these tests run. The real daemon is in both: operators, file
# source and sinks meet several threads only there.
set(takt_sanitize_folders pipeline/base pipeline/batch pipeline/expression pipeline/state pipeline/journal pipeline/runtime operators
    sources/decode)
set(takt_sanitize_tests conformance/plant determinism/answer)
set(takt_sanitize_programs takt batch_oracle jsonl_to_flatbuffers)
set(takt_engine_folders pipeline/runtime)
set(takt_engine_tests determinism/answer)
set(takt_engine_programs takt batch_oracle)

function(takt_label_tests label)
  add_custom_target(takt_${label}_tests)
  add_dependencies(takt_${label}_tests ${takt_${label}_programs})
  foreach(folder ${takt_${label}_folders})
    string(REPLACE "/" "_" name ${folder})
    if(TARGET tests_unit_${name})
      set_property(TEST unit/${folder} APPEND PROPERTY LABELS ${label})
      add_dependencies(takt_${label}_tests tests_unit_${name})
    endif()
  endforeach()
  foreach(test ${takt_${label}_tests})
    set_property(TEST ${test} APPEND PROPERTY LABELS ${label})
  endforeach()
endfunction()

takt_label_tests(sanitize)
takt_label_tests(engine)
