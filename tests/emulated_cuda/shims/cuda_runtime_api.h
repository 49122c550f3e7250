// SPDX-License-Identifier: Apache-2.0
// The part of CUDA C++ that the kernels use, for a compiler that knows nothing of it.
#pragma once

#include "fibers.hpp"
#include "runtime_calls.hpp"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __shared__ static  // one block at a time
#define __launch_bounds__(...)

struct cudaFuncAttributes {
  int ptxVersion;
};
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, void (*)()) { return cudaErrorInvalidValue; }

struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};

inline void __syncthreads() { emulated::meet(emulated::block->all); }
inline void __syncwarp() { emulated::meet(emulated::my_warp().all); }
inline void __nanosleep(unsigned) { emulated::yield(); }
inline uint4 __ldcs(uint4 const* p) { return *p; }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __uint_as_float(std::uint32_t x) { return std::bit_cast<float>(x); }
inline std::uint32_t atomicOr(std::uint32_t* p, std::uint32_t x) {
  std::uint32_t const before = *p;
  *p |= x;
  return before;
}

template <class F>
std::uint32_t reduce_over_warp(std::uint32_t value, F const& f) {
  return emulated::exchange({value}, [&](emulated::warp_state const& w) {
    std::uint32_t total = w.words[0][0];
    for (int lane = 1; lane != 32; ++lane) total = f(total, w.words[lane][0]);
    return total;
  });
}
inline std::uint32_t __reduce_add_sync(std::uint32_t, std::uint32_t value) {
  return reduce_over_warp(value, [](std::uint32_t a, std::uint32_t b) { return a + b; });
}
inline std::uint32_t __reduce_max_sync(std::uint32_t, std::uint32_t value) {
  return reduce_over_warp(value, [](std::uint32_t a, std::uint32_t b) { return a > b ? a : b; });
}
inline std::uint32_t __reduce_min_sync(std::uint32_t, std::uint32_t value) {
  return reduce_over_warp(value, [](std::uint32_t a, std::uint32_t b) { return a < b ? a : b; });
}
inline float __shfl_xor_sync(std::uint32_t, float value, int mask) {
  return emulated::exchange({std::bit_cast<std::uint32_t>(value)}, [&](emulated::warp_state const& w) {
    return std::bit_cast<float>(w.words[threadIdx.x % 32 ^ static_cast<std::uint32_t>(mask)][0]);
  });
}
inline std::uint32_t __shfl_sync(std::uint32_t, std::uint32_t value, std::uint32_t lane) {
  return emulated::exchange({value}, [&](emulated::warp_state const& w) { return w.words[lane][0]; });
}
inline std::uint64_t __shfl_xor_sync(std::uint32_t, std::uint64_t value, std::uint32_t mask) {
  return emulated::exchange({static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32)},
                            [&](emulated::warp_state const& w) {
                              auto const& other = w.words[threadIdx.x % 32 ^ mask];
                              return std::uint64_t{other[1]} << 32 | other[0];
                            });
}

enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  std::uint32_t numAttrs = 0;
};

/// Runs the kernel at once.
template <class... Parameters>
cudaError_t cudaLaunchKernelEx(cudaLaunchConfig_t const* c, void (*kernel)(Parameters...), Parameters... arguments) {
  emulated::run_grid(c->gridDim, c->blockDim, [=] { kernel(arguments...); });
  return cudaSuccess;
}
