# SPDX-License-Identifier: Apache-2.0
# The targets a host links. All are INTERFACE: no flag, warning or sanitizer of ours reaches the host.

# Headers under include/buddy: io/ needs nlohmann-json, cuda/ needs the CUDA toolkit, the rest needs nothing.
file(GLOB_RECURSE buddy_core_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/buddy/*.hpp)
file(GLOB_RECURSE buddy_io_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/buddy/io/*.hpp)
file(GLOB_RECURSE buddy_cuda_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/buddy/cuda/*.hpp)
file(GLOB_RECURSE buddy_device_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/buddy/*.cuh)
list(REMOVE_ITEM buddy_core_headers ${buddy_io_headers} ${buddy_cuda_headers})

# buddy::buddy: the core. No dependency but the standard library.
add_library(buddy INTERFACE)
add_library(buddy::buddy ALIAS buddy)
target_sources(buddy INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${buddy_core_headers})
target_compile_features(buddy INTERFACE cxx_std_20)

# buddy::io: the files, on top of the core. Linking it without nlohmann-json is an error; not linking it never is.
if(NOT TARGET nlohmann_json::nlohmann_json)
  find_package(nlohmann_json 3.11 CONFIG QUIET GLOBAL)
endif()
add_library(buddy_io INTERFACE)
add_library(buddy::io ALIAS buddy_io)
set_target_properties(buddy_io PROPERTIES EXPORT_NAME io)
target_sources(buddy_io INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${buddy_io_headers})
target_link_libraries(buddy_io INTERFACE buddy nlohmann_json::nlohmann_json)

# buddy::cuda: host code for the CUDA runtime and the kernels, on top of the core.
if(BUDDY_ENABLE_CUDA)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED GLOBAL)
  add_library(buddy_cuda INTERFACE)
  add_library(buddy::cuda ALIAS buddy_cuda)
  set_target_properties(buddy_cuda PROPERTIES EXPORT_NAME cuda)
  target_sources(buddy_cuda INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include
                                      FILES ${buddy_cuda_headers} ${buddy_device_headers})
  # Include paths only: the host picks the runtime (CUDA_RUNTIME_LIBRARY), or it would get two of them.
  target_link_libraries(buddy_cuda INTERFACE buddy CUDA::toolkit)
  if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
    target_compile_features(buddy_cuda INTERFACE cuda_std_20)
  else() # CMake 3.25.1 (Debian 12) does not know that nvcc speaks C++20
    target_compile_options(buddy_cuda INTERFACE $<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-std=c++20>)
  endif()
endif()
