# SPDX-License-Identifier: Apache-2.0
# buddy_own_target(<target>): what every target of this project gets, and no target of a host does.
#
# Warnings are errors unless CMAKE_COMPILE_WARNING_AS_ERROR is OFF. Contraction is off, so that a*b+c gives the same
# bits with and without a fused multiply-add unit, in every build type.
function(buddy_own_target target)
  set(gnu_like $<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>)
  set(clang $<COMPILE_LANG_AND_ID:CXX,Clang,AppleClang>)
  # clang counts sign conversions under -Wconversion, g++ does not: one rule for both.
  target_compile_options(${target} PRIVATE
    $<${gnu_like}:-Wall;-Wextra;-Wconversion;-Wshadow;-ffp-contract=off>
    $<${clang}:-Wno-sign-conversion>
    $<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Xcompiler=-Wall,-Wextra,-ffp-contract=off>)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  if(NOT DEFINED CMAKE_COMPILE_WARNING_AS_ERROR)
    set_target_properties(${target} PROPERTIES COMPILE_WARNING_AS_ERROR ON)
  endif()
endfunction()
