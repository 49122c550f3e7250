// SPDX-License-Identifier: Apache-2.0
/// @file
/// The sort of routed slots by expert, on the device.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/dependent_launch.cuh>
#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/cuda/token_sort.hpp>
#include <buddy/cuda/warp.cuh>

#include <cuda_runtime.h>

#include <cstdint>

namespace buddy::inline v0::cuda {

namespace detail {

/// One block, one warp a part: the sort of 32,768 routed slots is 32 steps of 32 in each.
template <class = void>
BUDDY_KERNEL void __launch_bounds__(1024) sort_tokens_kernel(dispatch_arrays a, token_order order) {
  device_warp const warp;
  std::uint32_t const part = threadIdx.x / device_warp::n_lanes;
  count_part(warp, a, order, part);
  __syncthreads();
  if (part == 0) place_slots(warp, order);
  __syncthreads();
  order_part(warp, a, order, part);
}

}  // namespace detail

/// Sorts the routed slots of a batch by the slot that computes them; stable, so equal inputs give equal orders.
///
/// Ordered on `stream`; does not synchronize. No allocation; can be captured.
/// @pre   every slot other than `no_slot` is below order.n_slots
/// @returns the launch's status; `cudaErrorInvalidValue` unless 1 <= n_parts <= 32
[[nodiscard]] inline cudaError_t sort_tokens(dispatch_arrays const& a, token_order const& order,
                                             cudaStream_t stream) noexcept {
  if (order.n_parts == 0 || order.n_parts > 32) return cudaErrorInvalidValue;
  return detail::launch(detail::sort_tokens_kernel<>, 1, order.n_parts * 32, stream, false, a, order);
}

}  // namespace buddy::inline v0::cuda
