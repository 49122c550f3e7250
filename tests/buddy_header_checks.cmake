# SPDX-License-Identifier: Apache-2.0

# buddy_header_includes(<variable> <header>...): one #include line per header, as a host writes it.
function(buddy_header_includes variable)
  set(lines "")
  foreach(header IN LISTS ARGN)
    file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR}/include ${header})
    string(APPEND lines "#include <${name}>\n")
  endforeach()
  set(${variable} "${lines}" PARENT_SCOPE)
endfunction()

# buddy_check_headers(<name> <extension> <libraries> <header>...): check_headers_<name> compiles every header alone and
# twice (a missing include or guard), then all in two files of one program (a missing inline).
function(buddy_check_headers name extension libraries)
  if(NOT ARGN)
    return()
  endif()
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/headers_${name})
  set(sources "")
  foreach(header IN LISTS ARGN)
    buddy_header_includes(line ${header})
    file(RELATIVE_PATH stem ${PROJECT_SOURCE_DIR}/include ${header})
    file(CONFIGURE OUTPUT ${folder}/${stem}.${extension} CONTENT "@line@@line@" @ONLY)
    list(APPEND sources ${folder}/${stem}.${extension})
  endforeach()
  buddy_header_includes(all ${ARGN})
  file(CONFIGURE OUTPUT ${folder}/odr_a.${extension} CONTENT "@all@int main() {}\n" @ONLY)
  file(CONFIGURE OUTPUT ${folder}/odr_b.${extension} CONTENT "@all@" @ONLY)
  add_executable(check_headers_${name} ${sources} ${folder}/odr_a.${extension} ${folder}/odr_b.${extension})
  buddy_own_target(check_headers_${name})
  target_link_libraries(check_headers_${name} PRIVATE ${libraries})
  if(extension STREQUAL "cu" AND CMAKE_CUDA_ARCHITECTURES) # a header alone has no kernel: one architecture will do
    list(GET CMAKE_CUDA_ARCHITECTURES -1 newest)
    set_target_properties(check_headers_${name} PROPERTIES CUDA_ARCHITECTURES ${newest})
  endif()
endfunction()

# buddy_check_no_exceptions(<header>...): all headers, and the consumer that uses them, as a host without exceptions
# compiles them.
function(buddy_check_no_exceptions)
  buddy_header_includes(all ${ARGN})
  set(source ${CMAKE_CURRENT_BINARY_DIR}/no_exceptions.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "@all@" @ONLY)
  add_executable(check_no_exceptions ${source} consumer/main.cpp)
  buddy_own_target(check_no_exceptions)
  target_link_libraries(check_no_exceptions PRIVATE buddy::buddy)
  target_compile_options(check_no_exceptions PRIVATE -O2 -fno-exceptions)
  add_test(NAME headers.no_exceptions COMMAND check_no_exceptions)
  set_tests_properties(headers.no_exceptions PROPERTIES LABELS headers)
endfunction()
