# Test programs that are not GoogleTest binaries: conformance runners, oracles, end-to-end tests.
file(GLOB program_lists CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*/tests.cmake)
foreach(list ${program_lists})
  include(${list})
endforeach()
