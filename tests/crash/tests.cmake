# The real daemon, killed again and again.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME crash/kill COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/run --kills 50 --build ${CMAKE_BINARY_DIR})
set_tests_properties(crash/kill PROPERTIES PROCESSORS 2 COST 500 TIMEOUT 900)

# The journal once more with its crash points compiled in; the library that is shipped has none.
get_target_property(journal_sources takt_pipeline_journal SOURCES)
add_executable(journal_crash ${CMAKE_CURRENT_LIST_DIR}/journal_crash.cc ${journal_sources})
target_compile_definitions(journal_crash PRIVATE TAKT_FAULTS)
target_compile_options(journal_crash PRIVATE -O1)
target_precompile_headers(journal_crash PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.h)
target_link_libraries(journal_crash PRIVATE takt_pipeline_plan takt_schemas dep_flatbuffers)
add_dependencies(journal_crash takt_schemas_generated)
add_test(NAME crash/journal COMMAND journal_crash)
