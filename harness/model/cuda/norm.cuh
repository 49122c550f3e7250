// SPDX-License-Identifier: Apache-2.0
/// @file
/// Root-mean-square normalisation of one vector.
#pragma once

#include "harness/model/cuda/kernels.hpp"

#include <buddy/config.hpp>
#include <buddy/cuda/dispatch_rows.cuh>
#include <buddy/cuda/half_math.cuh>

#include <cuda_runtime.h>

#include <cstdint>

namespace harness::device {

inline constexpr std::uint32_t norm_warps = 8;

/// One block; each warp's sum, then the warps' sums in their order.
BUDDY_KERNEL void __launch_bounds__(norm_warps * 32) norm_kernel(norm_arrays a) {
  __shared__ float sums[norm_warps];
  float sum = 0.0F;
  for (std::uint32_t i = threadIdx.x; i < a.n; i += norm_warps * 32) sum = fmaf(a.x[i], a.x[i], sum);
  sum = buddy::cuda::detail::warp_sum(sum);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  float total = 0.0F;
  for (std::uint32_t w = 0; w != norm_warps; ++w) total += sums[w];
  float const scale = 1.0F / sqrtf(total / static_cast<float>(a.n) + a.eps);
  for (std::uint32_t i = threadIdx.x; i < a.n; i += norm_warps * 32) {
    float const y = a.x[i] * scale * a.gain[i];
    a.y[i] = y;
    if (a.y_half == nullptr) continue;
    a.y_half[i] = a.half_type == buddy::weight_type::bf16 ? buddy::cuda::detail::to_half<buddy::weight_type::bf16>(y)
                                                          : buddy::cuda::detail::to_half<buddy::weight_type::f16>(y);
  }
}

}  // namespace harness::device
