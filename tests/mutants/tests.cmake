# The mistakes themselves are compiled and looked for by `./dev mutants`: that takes a build of its own.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME mutants/list COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/run --list)
