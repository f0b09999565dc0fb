# libFuzzer targets, clang only: cmake -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++-14 -DTAKT_FUZZ=ON -DTAKT_BENCH=OFF, then
# build/fuzz/tests/fuzz_frame NEW_INPUTS tests/fuzz/corpus/frame. Not part of a plain build.
if(TAKT_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "TAKT_FUZZ needs clang: -DCMAKE_CXX_COMPILER=clang++-14")
  endif()
  set(fuzzed)
  foreach(file base/check base/hash base/decimal plan/outcomes journal/crc32c journal/frame journal/frame_sections)
    list(APPEND fuzzed ${CMAKE_SOURCE_DIR}/pipeline/${file}.cc)
  endforeach()
  add_executable(fuzz_frame EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/frame_fuzz.cc ${fuzzed})
  target_include_directories(fuzz_frame PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
  target_compile_options(fuzz_frame PRIVATE -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
    "SHELL:-include ${CMAKE_SOURCE_DIR}/cmake/precompiled.h")
  target_link_options(fuzz_frame PRIVATE -fsanitize=fuzzer,address,undefined)
  target_link_libraries(fuzz_frame PRIVATE fmt::fmt PkgConfig::XXHASH dep_flatbuffers)
  add_dependencies(fuzz_frame takt_schemas_generated)
endif()
