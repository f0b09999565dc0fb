# Which tests `./dev test` runs once more under sanitizers: label `sanitize` under AddressSanitizer and UBSan (code that reads
# bytes of strangers), label `engine` under ThreadSanitizer (code that shares state between threads). A test of another folder may
# set these labels itself, and then makes takt_sanitize_tests or takt_engine_tests depend on its binary. Building takt_sanitize_tests or takt_engine_tests builds exactly the test binaries of this list.
set(takt_sanitize_folders pipeline/base pipeline/batch pipeline/expression sources/decode)
set(takt_engine_folders pipeline/runtime)

function(takt_label_unit_tests label)
  add_custom_target(takt_${label}_tests)
  foreach(folder ${ARGN})
    string(REPLACE "/" "_" name ${folder})
    if(TARGET tests_unit_${name})
      set_property(TEST unit/${folder} APPEND PROPERTY LABELS ${label})
      add_dependencies(takt_${label}_tests tests_unit_${name})
    endif()
  endforeach()
endfunction()

takt_label_unit_tests(sanitize ${takt_sanitize_folders})
takt_label_unit_tests(engine ${takt_engine_folders})
