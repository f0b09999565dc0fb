# The real engine and its journal in one thread on a virtual clock: compiled once more, with fibers in place of threads
# (pipeline/base/thread.h) and with crash points. What has neither is linked as it is shipped.
get_target_property(journal_sources takt_pipeline_journal SOURCES)
get_target_property(runtime_sources takt_pipeline_runtime SOURCES)
file(GLOB simulation_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cc)
add_executable(simulation ${simulation_sources} ${journal_sources} ${runtime_sources}
               ${CMAKE_SOURCE_DIR}/tests/support/simulated_disk.cc)
target_compile_definitions(simulation PRIVATE TAKT_SIMULATION TAKT_FAULTS TAKT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
target_compile_options(simulation PRIVATE -O1)
target_precompile_headers(simulation PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.h)
target_link_libraries(simulation PRIVATE takt_operators takt_schemas dep_flatbuffers dep_tbb)
add_dependencies(simulation takt_schemas_generated)
add_test(NAME simulation COMMAND simulation --seeds 2000)
set_tests_properties(simulation PROPERTIES COST 60 TIMEOUT 300)
