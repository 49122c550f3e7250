# SPDX-License-Identifier: Apache-2.0
# The target `llama` of an installed llama.cpp: by its own CMake package, or from -DLLAMA_PREFIX=<folder with include/ and
# lib/>. Libraries may carry a version in their file name (libllama.v0.5.0.so), as those of the npm packages do.
set(LLAMA_PREFIX "" CACHE PATH "Where llama.cpp is installed: include/ and lib/; empty: find_package(llama)")

if(NOT LLAMA_PREFIX)
  find_package(llama CONFIG REQUIRED)
  get_target_property(llama_library llama LOCATION)
  get_filename_component(BUDDY_LLAMA_BACKENDS ${llama_library} DIRECTORY)
  return()
endif()

function(buddy_find_in_llama_prefix name variable)
  file(GLOB found ${LLAMA_PREFIX}/lib/lib${name}.so ${LLAMA_PREFIX}/lib/lib${name}.v*.so ${LLAMA_PREFIX}/lib/lib${name}.so.*)
  if(NOT found)
    message(FATAL_ERROR "LLAMA_PREFIX=${LLAMA_PREFIX}: there is no lib/lib${name}.so, nor one with a version in its name")
  endif()
  list(GET found 0 first)
  set(${variable} ${first} PARENT_SCOPE)
endfunction()

if(NOT EXISTS ${LLAMA_PREFIX}/include/llama.h OR NOT EXISTS ${LLAMA_PREFIX}/include/gguf.h)
  message(FATAL_ERROR "LLAMA_PREFIX=${LLAMA_PREFIX}: there must be include/llama.h and include/gguf.h")
endif()
buddy_find_in_llama_prefix(llama llama_library)
buddy_find_in_llama_prefix(ggml ggml_library)
buddy_find_in_llama_prefix(ggml-base ggml_base_library)
add_library(llama INTERFACE IMPORTED)
target_include_directories(llama SYSTEM INTERFACE ${LLAMA_PREFIX}/include)
target_link_libraries(llama INTERFACE ${llama_library} ${ggml_library} ${ggml_base_library})
set(BUDDY_LLAMA_BACKENDS ${LLAMA_PREFIX}/lib) # where ggml_backend_load_all_from_path() finds the processors' libraries
