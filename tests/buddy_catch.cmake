# SPDX-License-Identifier: Apache-2.0
# buddy_test_main: Catch2 with a main(), 2.13 (Debian 12) or 3; the tests see only tests/catch.hpp.
find_package(Catch2 CONFIG REQUIRED)
if(Catch2_VERSION VERSION_LESS 3)
  add_library(buddy_test_main STATIC main.cpp)
  target_compile_features(buddy_test_main PUBLIC cxx_std_20) # as the tests, or string_view has no printer
  target_link_libraries(buddy_test_main PUBLIC Catch2::Catch2)
  # Not ours to debug, and six times faster to compile this way under the sanitizers.
  target_compile_options(buddy_test_main PRIVATE $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-O0;-g0;-fno-sanitize=all>)
else()
  add_library(buddy_test_main INTERFACE)
  target_link_libraries(buddy_test_main INTERFACE Catch2::Catch2WithMain)
endif()
target_include_directories(buddy_test_main INTERFACE ${CMAKE_CURRENT_SOURCE_DIR})
include(Catch)
