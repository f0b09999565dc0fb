# What several test binaries need: a nats-server of their own.
add_library(takt_test_support STATIC ${CMAKE_CURRENT_LIST_DIR}/nats_server.cc)
target_include_directories(takt_test_support PUBLIC ${CMAKE_SOURCE_DIR})
foreach(target tests_unit_sources tests_unit_sinks)
  if(TARGET ${target})
    target_link_libraries(${target} PRIVATE takt_test_support)
  endif()
endforeach()

# And a disk that loses what was not synchronized.
add_library(takt_simulated_disk STATIC ${CMAKE_CURRENT_LIST_DIR}/simulated_disk.cc)
target_link_libraries(takt_simulated_disk PUBLIC takt_pipeline_journal)
if(TARGET tests_unit_pipeline_journal)
  target_link_libraries(tests_unit_pipeline_journal PRIVATE takt_simulated_disk)
endif()
