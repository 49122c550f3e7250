// SPDX-License-Identifier: Apache-2.0
/// @file
/// Matrix times vector, and the sum of two vectors, in float.
#pragma once

#include "harness/model/cuda/kernels.hpp"

#include <buddy/config.hpp>
#include <buddy/cuda/dispatch_rows.cuh>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace harness::device {

inline constexpr std::uint32_t product_warps = 4;

/// A warp has one row; lanes read neighbours, four loads under way in each.
BUDDY_KERNEL void __launch_bounds__(product_warps * 32) product_kernel(product_arrays a) {
  std::uint32_t const row = blockIdx.x * product_warps + threadIdx.x / 32;
  if (row >= a.rows) return;
  float const* const weights = a.a + std::size_t{row} * a.n;
  float sum = 0.0F;
#pragma unroll 4
  for (std::uint32_t i = threadIdx.x % 32; i < a.n; i += 32) sum = fmaf(weights[i], a.x[i], sum);
  sum = buddy::cuda::detail::warp_sum(sum);
  if (threadIdx.x % 32 == 0) a.y[row] = (a.base == nullptr ? 0.0F : a.base[row]) + sum;
}

inline constexpr std::uint32_t sum_threads = 128;

BUDDY_KERNEL void __launch_bounds__(sum_threads) sum_kernel(float const* x, float* y, std::uint32_t n) {
  std::uint32_t const i = blockIdx.x * sum_threads + threadIdx.x;
  if (i < n) y[i] += x[i];
}

}  // namespace harness::device
