// SPDX-License-Identifier: Apache-2.0
/// @file
/// The few kernels that the library does not have, and launches of those that it has.
#include "harness/layers/cuda/kernels.hpp"

#include <buddy/cuda/decide.cuh>
#include <buddy/cuda/dispatch.cuh>
#include <buddy/policies/selection/none.hpp>
#include <buddy/policies/selection/random_resident.hpp>
#include <buddy/policies/selection/zero_fill.hpp>
#include <buddy/policies/sensitivity/always.hpp>

#include <cuda_runtime.h>

namespace harness {

namespace {

constexpr unsigned threads = 512;

/// Four independent loads a thread, as the kernels that compute have them.
__global__ void __launch_bounds__(threads) read_kernel(uint4 const* from, std::size_t n, std::uint32_t* sink) {
  std::size_t const stride = std::size_t{gridDim.x} * blockDim.x;
  std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  std::uint32_t sum = 0;
  for (; i + 3 * stride < n; i += 4 * stride) {
    uint4 v[4];
#pragma unroll
    for (int u = 0; u != 4; ++u) v[u] = __ldcs(from + i + u * stride);
#pragma unroll
    for (int u = 0; u != 4; ++u) sum ^= v[u].x ^ v[u].y ^ v[u].z ^ v[u].w;
  }
  for (; i < n; i += stride) {
    uint4 const v = __ldcs(from + i);
    sum ^= v.x ^ v.y ^ v.z ^ v.w;
  }
  if (sum == 0x1234'5678U) *sink = sum;
}

__global__ void __launch_bounds__(threads) add_kernel(float* y, float const* x, std::uint32_t n) {
  std::uint32_t const i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] += x[i];
}

__global__ void count_kernel(std::uint64_t* step) { ++*step; }

__global__ void empty_kernel() {}

__global__ void echo_kernel(std::uint32_t const volatile* request, std::uint32_t volatile* answer,
                            std::uint32_t value) {
  while (*request != value) __nanosleep(20);
  *answer = value;
  __threadfence_system();
}

unsigned blocks_for(std::size_t n) {
  int multiprocessors = 0;
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device) != cudaSuccess)
    multiprocessors = 32;
  std::size_t const wanted = (n + threads - 1) / threads;
  return static_cast<unsigned>(wanted < std::size_t(multiprocessors) * 4 ? wanted : std::size_t(multiprocessors) * 4);
}

}  // namespace

cudaError_t read_bytes(std::byte const* from, std::size_t n, std::uint32_t* sink, cudaStream_t stream) {
  std::size_t const words = n / sizeof(uint4);
  if (words == 0) return cudaSuccess;
  read_kernel<<<blocks_for(words), threads, 0, stream>>>(reinterpret_cast<uint4 const*>(from), words, sink);
  return cudaPeekAtLastError();
}

cudaError_t add_to(float* y, float const* x, std::uint32_t n, cudaStream_t stream) {
  if (n == 0) return cudaSuccess;
  add_kernel<<<(n + threads - 1) / threads, threads, 0, stream>>>(y, x, n);
  return cudaPeekAtLastError();
}

cudaError_t count_step(std::uint64_t* step, cudaStream_t stream) {
  count_kernel<<<1, 1, 0, stream>>>(step);
  return cudaPeekAtLastError();
}

cudaError_t decide_layer(buddy::cuda::layer_arrays const& a, device_selector who, std::uint64_t seed,
                         cudaStream_t stream) {
  buddy::cuda::decision_rules rules{};
  rules.otherwise = buddy::resolution::drop;  // nobody is there to fetch
  buddy::sensitivity::always const gate{};
  switch (who) {
    case device_selector::random_resident:
      return buddy::cuda::decide(a, rules, gate, buddy::selection::random_resident{seed}, stream);
    case device_selector::zero_fill:
      return buddy::cuda::decide(a, rules, gate, buddy::selection::zero_fill{}, stream);
    case device_selector::none:
      break;
  }
  return buddy::cuda::decide(a, rules, gate, buddy::selection::none{}, stream);
}

cudaError_t compute_wave(buddy::cuda::dispatch_arrays const& a, buddy::cuda::token_order const& order, bool early,
                         cudaStream_t stream) {
  if (a.n_routed() <= buddy::cuda::max_decode_routed) return buddy::cuda::dispatch(a, {early}, stream);
  return buddy::cuda::dispatch_sorted(a, order, {early}, stream);
}

std::uint32_t most_unsorted() noexcept { return buddy::cuda::max_decode_routed; }

bool can_launch_early() noexcept {
  int device = 0;
  return cudaGetDevice(&device) == cudaSuccess && buddy::cuda::supports_dependent_launch(device);
}

cudaError_t echo_once(std::uint32_t const* request, std::uint32_t* answer, std::uint32_t value, cudaStream_t stream) {
  echo_kernel<<<1, 1, 0, stream>>>(request, answer, value);
  return cudaPeekAtLastError();
}

cudaError_t nothing(cudaStream_t stream) {
  empty_kernel<<<1, 1, 0, stream>>>();
  return cudaPeekAtLastError();
}

}  // namespace harness
