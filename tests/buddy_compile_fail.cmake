# SPDX-License-Identifier: Apache-2.0
# buddy_add_compile_fail_tests(<folder>): sources that must not compile, each with the words the compiler must then say:
#
#   // expect-error: has_on_erase        <- the first line
#
# The words must stand neither elsewhere in the source nor in its name, since a failing command prints both.
function(buddy_add_compile_fail_tests folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.fail.cpp)
  foreach(source IN LISTS sources)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(STRINGS ${source} first_line LIMIT_COUNT 1)
    if(NOT first_line MATCHES "^// expect-error: (.+)$")
      message(FATAL_ERROR "${source}: the first line must be '// expect-error: <words of the compiler>'")
    endif()
    string(REGEX REPLACE "([][+.*?()^$|\\\\])" "\\\\\\1" words "${CMAKE_MATCH_1}")
    get_filename_component(stem ${source} NAME_WE)
    add_library(fail_${stem} OBJECT EXCLUDE_FROM_ALL ${source})
    target_link_libraries(fail_${stem} PRIVATE buddy::buddy)
    add_test(NAME compile_fail.${stem} COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target fail_${stem})
    set_tests_properties(compile_fail.${stem} PROPERTIES LABELS compile_fail PASS_REGULAR_EXPRESSION "${words}"
                                                         RESOURCE_LOCK build_tree)
  endforeach()
endfunction()
