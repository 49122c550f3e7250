// SPDX-License-Identifier: Apache-2.0
/// @file
/// From projections to heads: normalised, turned by their position, keys and values in the cache.
#pragma once

#include "harness/model/cuda/kernels.hpp"

#include <buddy/config.hpp>
#include <buddy/cuda/dispatch_rows.cuh>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace harness::device {

/// Normalises one head and turns each pair (x[i], x[i + head_dim / 2]) by the position's angles; the whole warp.
/// `from` may be `to`: each lane writes only what it alone reads after the sum.
__device__ inline void turn_head(attention_arrays const& a, float const* from, float const* gain, float factor,
                                 float* to) {
  std::uint32_t const half = a.head_dim / 2;
  float sum = 0.0F;
  for (std::uint32_t i = threadIdx.x; i < a.head_dim; i += 32) sum = fmaf(from[i], from[i], sum);
  sum = buddy::cuda::detail::warp_sum(sum);
  float const scale = 1.0F / sqrtf(sum / static_cast<float>(a.head_dim) + a.eps);
  float const* const cosines = a.cosines + std::size_t{a.position} * half;
  float const* const sines = a.sines + std::size_t{a.position} * half;
  for (std::uint32_t i = threadIdx.x; i < half; i += 32) {
    float const x = from[i] * scale * gain[i];
    float const y = from[i + half] * scale * gain[i + half];
    to[i] = (x * cosines[i] - y * sines[i]) * factor;
    to[i + half] = (y * cosines[i] + x * sines[i]) * factor;
  }
}

/// One warp a head: the queries', then the keys', then the values'.
BUDDY_KERNEL void __launch_bounds__(32) heads_kernel(attention_arrays a) {
  std::uint32_t const head = blockIdx.x;
  float* const from = a.qkv + std::size_t{head} * a.head_dim;
  if (head < a.n_heads) {
    turn_head(a, from, a.q_norm, 1.0F / sqrtf(static_cast<float>(a.head_dim)), from);
    return;
  }
  bool const is_key = head < a.n_heads + a.n_kv_heads;
  std::uint32_t const kv_head = head - a.n_heads - (is_key ? 0 : a.n_kv_heads);
  float* const to = (is_key ? a.keys : a.values) + (std::size_t{kv_head} * a.capacity + a.position) * a.head_dim;
  if (is_key) {
    turn_head(a, from, a.k_norm, 1.0F, to);
    return;
  }
  for (std::uint32_t i = threadIdx.x; i < a.head_dim; i += 32) to[i] = from[i];
}

}  // namespace harness::device
