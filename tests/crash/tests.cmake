# The real daemon, killed again and again, at each crash point, too, over a file and over a stream.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME crash/kill COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/run --kills 50 --build ${CMAKE_BINARY_DIR})
set_tests_properties(crash/kill PROPERTIES PROCESSORS 2 COST 500 TIMEOUT 900)

# The journal once more with its crash points compiled in, and a daemon with it; the library that is shipped has none. Its objects define
# everything that the library does, so that the linker takes nothing from there.
get_target_property(journal_sources takt_pipeline_journal SOURCES)
add_library(takt_journal_with_crash_points OBJECT ${journal_sources})
target_compile_definitions(takt_journal_with_crash_points PUBLIC TAKT_FAULTS)
target_compile_options(takt_journal_with_crash_points PRIVATE -O1)
target_precompile_headers(takt_journal_with_crash_points PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.h)
target_link_libraries(takt_journal_with_crash_points PUBLIC takt_pipeline_plan takt_schemas dep_flatbuffers)
add_dependencies(takt_journal_with_crash_points takt_schemas_generated)

add_executable(journal_crash ${CMAKE_CURRENT_LIST_DIR}/journal_crash.cc)
target_compile_options(journal_crash PRIVATE -O1)
target_link_libraries(journal_crash PRIVATE takt_journal_with_crash_points)
add_test(NAME crash/journal COMMAND journal_crash)

# And with the one file of the runtime in which a message can be deadly (pipeline/runtime/deadly_text.h); the linker
# takes it for the library's.
add_executable(takt_with_crash_points ${CMAKE_SOURCE_DIR}/cli/main.cc
                                      ${CMAKE_SOURCE_DIR}/pipeline/runtime/stateless_stage.cc)
target_compile_definitions(takt_with_crash_points PRIVATE TAKT_VERSION="${PROJECT_VERSION}")
target_link_libraries(takt_with_crash_points PRIVATE takt_journal_with_crash_points takt_cli)
