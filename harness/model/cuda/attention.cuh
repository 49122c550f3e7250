// SPDX-License-Identifier: Apache-2.0
/// @file
/// Attention of one token over all positions so far.
///
/// Source: the running maximum of Milakov and Gimelshein, arXiv:1805.02867. Differs from it: four warps keep one each,
/// and their sums are joined at the end.
#pragma once

#include "harness/model/cuda/kernels.hpp"

#include <buddy/config.hpp>
#include <buddy/cuda/dispatch_rows.cuh>

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace harness::device {

inline constexpr std::uint32_t attention_warps = 4;
inline constexpr std::uint32_t head_parts = max_head_dim / 32;  // elements of a head in one lane

/// What a warp has seen: sum of exp(score - largest) times the value, and the same without the value.
struct running_mean {
  float largest = -INFINITY;
  float total = 0.0F;
  float mixed[head_parts] = {};
};

/// Sees every fourth position from its own number on.
__device__ inline running_mean mix_positions(attention_arrays const& a, float const* query, std::size_t first_row) {
  std::uint32_t const lane = threadIdx.x % 32;
  running_mean m;
  for (std::uint32_t p = threadIdx.x / 32; p <= a.position; p += attention_warps) {
    float const* const key = a.keys + (first_row + p) * a.head_dim;
    float const* const value = a.values + (first_row + p) * a.head_dim;
    float score = 0.0F;
#pragma unroll
    for (std::uint32_t j = 0; j != head_parts; ++j)
      if (lane + 32 * j < a.head_dim) score = fmaf(query[lane + 32 * j], key[lane + 32 * j], score);
    score = buddy::cuda::detail::warp_sum(score);
    float const largest = fmaxf(m.largest, score);
    float const kept = expf(m.largest - largest);  // 0 at first
    float const weight = expf(score - largest);
    m.largest = largest;
    m.total = m.total * kept + weight;
#pragma unroll
    for (std::uint32_t j = 0; j != head_parts; ++j)
      if (lane + 32 * j < a.head_dim) m.mixed[j] = m.mixed[j] * kept + weight * value[lane + 32 * j];
  }
  return m;
}

/// A block a query head.
BUDDY_KERNEL void __launch_bounds__(attention_warps * 32) attention_kernel(attention_arrays a) {
  __shared__ float largest[attention_warps];
  __shared__ float total[attention_warps];
  __shared__ float mixed[attention_warps][max_head_dim];
  std::uint32_t const warp = threadIdx.x / 32;
  std::uint32_t const kv_head = blockIdx.x / (a.n_heads / a.n_kv_heads);
  running_mean const mine =
      mix_positions(a, a.qkv + std::size_t{blockIdx.x} * a.head_dim, std::size_t{kv_head} * a.capacity);
#pragma unroll
  for (std::uint32_t j = 0; j != head_parts; ++j) mixed[warp][threadIdx.x % 32 + 32 * j] = mine.mixed[j];
  if (threadIdx.x % 32 == 0) {
    largest[warp] = mine.largest;
    total[warp] = mine.total;
  }
  __syncthreads();
  float most = largest[0];  // the first warp has seen position 0
  for (std::uint32_t w = 1; w != attention_warps; ++w) most = fmaxf(most, largest[w]);
  float factor[attention_warps];
  float all = 0.0F;
  for (std::uint32_t w = 0; w != attention_warps; ++w) {
    factor[w] = expf(largest[w] - most);  // 0 for one that has seen nothing
    all += factor[w] * total[w];
  }
  for (std::uint32_t i = threadIdx.x; i < a.head_dim; i += attention_warps * 32) {
    float sum = 0.0F;
    for (std::uint32_t w = 0; w != attention_warps; ++w) sum = fmaf(factor[w], mixed[w][i], sum);
    a.attended[std::size_t{blockIdx.x} * a.head_dim + i] = sum / all;
  }
}

}  // namespace harness::device
