# The rules of style that a program can check. Each prints `FILE: what is wrong` and ends with 1.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
function(takt_style_test name)
  add_test(NAME style/${name} COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_SOURCE_DIR}/style/${name}.py ${ARGN})
  set_tests_properties(style/${name} PROPERTIES LABELS style SKIP_RETURN_CODE 77)
endfunction()

takt_style_test(format)
takt_style_test(layers)
takt_style_test(folders)
takt_style_test(error_codes)
takt_style_test(reference $<TARGET_FILE:takt>)
takt_style_test(documented_commands $<TARGET_FILE:takt>)
add_test(NAME style/tidy
         COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_SOURCE_DIR}/style/tidy.py ${CMAKE_BINARY_DIR} --changed)
# Every file takes all cores for minutes: only when asked for, `ctest --test-dir build/release -C tidy -R style/tidy_all`.
add_test(NAME style/tidy_all CONFIGURATIONS tidy
         COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_SOURCE_DIR}/style/tidy.py ${CMAKE_BINARY_DIR})
set_tests_properties(style/tidy style/tidy_all PROPERTIES LABELS style SKIP_RETURN_CODE 77 PROCESSORS 2 TIMEOUT 1800)
