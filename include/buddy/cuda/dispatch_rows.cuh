// SPDX-License-Identifier: Apache-2.0
/// @file
/// The experts of one token: rows times vector, as fast as the weights can be read.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/dependent_launch.cuh>
#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/cuda/half_math.cuh>
#include <buddy/expert_record.hpp>
#include <buddy/types.hpp>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::cuda::detail {

/// Rows of a matrix that one warp multiplies at once, and steps of 256 columns that are under way: 4 x 2 loads of 16
/// bytes a lane. (1024 threads a multiprocessor x 2 loads would do to fill a memory of 4.3 TB/s and 0.65 us.)
inline constexpr std::uint32_t rows_at_once = 4;
inline constexpr std::uint32_t steps_at_once = 2;
inline constexpr std::uint32_t gate_up_warps = 4;

/// Eight elements of a vector as floats: 16-bit ones, or floats.
template <weight_type Type>
__device__ void load_vector(std::uint16_t const* x, std::uint32_t i, float (&out)[8]) {
  chunk const c = load_cached(x + i);
#pragma unroll
  for (std::uint32_t w = 0; w != 4; ++w) {
    float2 const pair = to_floats<Type>(c.words[w]);
    out[2 * w] = pair.x;
    out[2 * w + 1] = pair.y;
  }
}
template <weight_type>
__device__ void load_vector(float const* x, std::uint32_t i, float (&out)[8]) {
  float4 const a = *reinterpret_cast<float4 const*>(x + i);
  float4 const b = *reinterpret_cast<float4 const*>(x + i + 4);
  out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
  out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}

template <weight_type Type>
__device__ float dot(chunk const& weights, float const (&x)[8], float sum) {
#pragma unroll
  for (std::uint32_t w = 0; w != 4; ++w) {
    float2 const pair = to_floats<Type>(weights.words[w]);
    sum = fmaf(pair.x, x[2 * w], sum);
    sum = fmaf(pair.y, x[2 * w + 1], sum);
  }
  return sum;
}

/// Sums of all lanes, in all lanes.
__device__ inline float warp_sum(float x) {
#pragma unroll
  for (int step = 16; step != 0; step /= 2) x += __shfl_xor_sync(0xffff'ffffU, x, step);
  return x;
}

/// Four rows times one vector; the sums of all lanes, in all lanes.
/// @param rows  [4] where each begins
/// @param x     [n] 16-bit or float
template <weight_type Type, class X>
__device__ void multiply_rows(std::uint16_t const* const (&rows)[rows_at_once], X const* x, std::uint32_t n,
                              float (&sums)[rows_at_once]) {
  constexpr std::uint32_t step = 32 * 8;
  std::uint32_t i = threadIdx.x % 32 * 8;
  for (; i + (steps_at_once - 1) * step < n; i += steps_at_once * step) {
    chunk weights[steps_at_once][rows_at_once];
#pragma unroll
    for (std::uint32_t s = 0; s != steps_at_once; ++s)
#pragma unroll
      for (std::uint32_t r = 0; r != rows_at_once; ++r) weights[s][r] = load_streaming(rows[r] + i + s * step);
#pragma unroll
    for (std::uint32_t s = 0; s != steps_at_once; ++s) {
      float vector[8];
      load_vector<Type>(x, i + s * step, vector);
#pragma unroll
      for (std::uint32_t r = 0; r != rows_at_once; ++r) sums[r] = dot<Type>(weights[s][r], vector, sums[r]);
    }
  }
  for (; i < n; i += step) {
    float vector[8];
    load_vector<Type>(x, i, vector);
#pragma unroll
    for (std::uint32_t r = 0; r != rows_at_once; ++r) sums[r] = dot<Type>(load_streaming(rows[r] + i), vector, sums[r]);
  }
#pragma unroll
  for (std::uint32_t r = 0; r != rows_at_once; ++r) sums[r] = warp_sum(sums[r]);
}

/// inner[s, row] = silu(gate x) * up x. Grid (rows / 8, top_k): a warp has two rows of gate and the same two of up.
template <weight_type Type>
BUDDY_KERNEL void __launch_bounds__(gate_up_warps * 32) gate_up_rows_kernel(dispatch_arrays a) {
  await_predecessor();
  release_successor();
  std::uint32_t const s = blockIdx.y;
  std::uint32_t const row = (blockIdx.x * gate_up_warps + threadIdx.x / 32) * 2;
  slot_id const slot = a.slots[s];
  if (row >= a.record.width || !contributes(slot, a.weights[s])) return;
  std::uint32_t const n = a.record.hidden;
  std::byte const* const record = a.record_in(slot);
  auto const* const gate =
      reinterpret_cast<std::uint16_t const*>(record + a.record.gate_offset()) + std::size_t{row} * n;
  auto const* const up = reinterpret_cast<std::uint16_t const*>(record + a.record.up_offset()) + std::size_t{row} * n;
  float sums[rows_at_once] = {};
  multiply_rows<Type>({gate, gate + n, up, up + n}, a.x, n, sums);  // width is even: both rows are there
  if (threadIdx.x % 32 != 0) return;
  float* const inner = reinterpret_cast<float*>(a.workspace) + std::size_t{s} * a.record.width + row;
  inner[0] = silu(sums[0]) * sums[2];
  inner[1] = silu(sums[1]) * sums[3];
}

/// y[row] = base[row] + sum over s, in this order, of weight[s] * (down inner[s])[row]. Grid hidden / 4; a block has
/// one warp for each routed slot and the same four rows in all, so the sum never leaves the block.
template <weight_type Type>
BUDDY_KERNEL void __launch_bounds__(1024) down_rows_kernel(dispatch_arrays a) {
  __shared__ float outputs[max_top_k][rows_at_once];
  std::uint32_t const s = threadIdx.x / 32;
  std::uint32_t const first = blockIdx.x * rows_at_once;
  std::uint32_t const n = a.record.width;
  slot_id const slot = a.slots[s];  // older than the predecessor: it has waited for its own
  float const weight = a.weights[s];
  bool const used = contributes(slot, weight);
  std::uint16_t const* rows[rows_at_once];
  std::byte const* const record = used ? a.record_in(slot) : a.pool;
  for (std::uint32_t r = 0; r != rows_at_once; ++r) {
    rows[r] = reinterpret_cast<std::uint16_t const*>(record + a.record.down_offset()) + std::size_t{first + r} * n;
    if (used) prefetch_row(rows[r], n, threadIdx.x % 32);
  }
  await_predecessor();
  release_successor();
  if (used) {
    float sums[rows_at_once] = {};
    multiply_rows<Type>(rows, reinterpret_cast<float const*>(a.workspace) + std::size_t{s} * n, n, sums);
    if (threadIdx.x % 32 == 0)
      for (std::uint32_t r = 0; r != rows_at_once; ++r) outputs[s][r] = weight * sums[r];
  }
  __syncthreads();
  if (threadIdx.x >= rows_at_once) return;
  std::uint32_t const row = first + threadIdx.x;
  float sum = a.base == nullptr ? 0.0F : a.base[row];
  for (std::uint32_t i = 0; i != a.top_k; ++i)
    if (contributes(a.slots[i], a.weights[i])) sum += outputs[i][threadIdx.x];
  a.y[row] = sum;
}

/// @pre n_tokens == 1
template <weight_type Type>
[[nodiscard]] cudaError_t dispatch_rows(dispatch_arrays const& a, bool early, cudaStream_t stream) noexcept {
  constexpr std::uint32_t block_rows = gate_up_warps * 2;
  dim3 const grid{(a.record.width + block_rows - 1) / block_rows, a.top_k};
  if (auto const e = launch(gate_up_rows_kernel<Type>, grid, gate_up_warps * 32, stream, early, a); e != cudaSuccess)
    return e;
  return launch(down_rows_kernel<Type>, a.record.hidden / rows_at_once, a.top_k * 32, stream, early, a);
}

}  // namespace buddy::inline v0::cuda::detail
