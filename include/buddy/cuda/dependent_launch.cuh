// SPDX-License-Identifier: Apache-2.0
/// @file
/// Kernels that start while the one before them still runs.
#pragma once

#include <buddy/config.hpp>

#include <cuda_runtime.h>

#include <cstddef>

namespace buddy::inline v0::cuda {

namespace detail {

/// Tells for which architecture the kernels of this program were compiled.
template <class = void>
BUDDY_KERNEL void architecture_probe() {}

}  // namespace detail

/// Whether a device can start a kernel early, and these kernels know how to wait for the one before: compute capability
/// 9.0 on, for both (a program of older code on a newer device must not). Asks the runtime: while setting up.
[[nodiscard]] inline bool supports_dependent_launch(int device) noexcept {
  int major = 0;
  cudaFuncAttributes code{};
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major >= 9 &&
         cudaFuncGetAttributes(&code, detail::architecture_probe<>) == cudaSuccess && code.ptxVersion >= 90;
}

namespace detail {

/// Both halves of a programmatic dependent launch are needed: the attribute here, and in the kernel `await_predecessor`
/// before anything the predecessor writes is read, or anything that it reads is written. Without the attribute the
/// kernel simply starts later. A launch that fails leaves no error behind for the next to find.
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
  cudaError_t const status = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  if (status != cudaSuccess) (void)cudaGetLastError();
  return status;
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
