// SPDX-License-Identifier: Apache-2.0
/// @file
/// Kernels that start while the one before them still runs.
#pragma once

#include <buddy/config.hpp>

#include <cuda_runtime.h>

#include <cstddef>

namespace buddy::inline v0::cuda {

/// Whether a device can start a kernel early: compute capability 9.0 on. Asks the runtime: while setting up.
[[nodiscard]] inline bool supports_dependent_launch(int device) noexcept {
  int major = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major >= 9;
}

namespace detail {

/// Both halves of a programmatic dependent launch are needed: the attribute here, and in the kernel `await_predecessor`
/// before anything the predecessor writes is read, or anything that it reads is written. Without the attribute, and
/// before 9.0, the kernel simply starts later.
template <class... Parameters, class... Arguments>
[[nodiscard]] cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream, bool early,
                                 Arguments const&... arguments) noexcept {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = early ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

/// Waits until the kernel before has ended and what it wrote is visible.
__device__ inline void await_predecessor() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

/// Lets the kernel behind start as soon as every block of this one has said so or ended. Only after
/// `await_predecessor`: then the one behind knows that the one before has ended too.
__device__ inline void release_successor() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

}  // namespace detail

}  // namespace buddy::inline v0::cuda
