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

# Beside the client library's own fetch, in turns: as a test only that both see every message.
add_executable(jetstream_rate ${CMAKE_CURRENT_LIST_DIR}/../end_to_end/jetstream_rate.cc)
target_link_libraries(jetstream_rate PRIVATE takt_sources takt_test_support)
add_test(NAME end_to_end/jetstream_rate COMMAND jetstream_rate 20000 0 1)
