// SPDX-License-Identifier: Apache-2.0
/// @file
/// Rewrites routed expert ids to the slots that serve them.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/dependent_launch.cuh>
#include <buddy/types.hpp>

#include <cuda_runtime_api.h>

#include <cstdint>

namespace buddy::inline v0::cuda {

namespace detail {

template <class Index>
BUDDY_KERNEL void remap_kernel(Index* ids, slot_id const* slot_of, std::uint32_t n) {
  std::uint32_t const i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) ids[i] = static_cast<Index>(slot_of[ids[i]]);
}

}  // namespace detail

/// Replaces each routed expert id by the slot that serves it (its own, or a buddy's).
///
/// Ordered on `stream`; does not synchronize. No allocation.
/// @tparam Index   an integer that holds every expert id and every slot
/// @param ids      [n_tokens, top_k] expert ids in, slots out; device memory
/// @param slot_of  [n_experts] serving slot of each expert of this layer; device memory
/// @param n        n_tokens * top_k, below 2^31
/// @pre   every id < n_experts
/// @returns the launch's status: `cudaSuccess`, or why nothing was launched
template <class Index>
[[nodiscard]] cudaError_t remap(Index* ids, slot_id const* slot_of, std::uint32_t n, cudaStream_t stream) noexcept {
  if (n == 0) return cudaSuccess;
  constexpr std::uint32_t threads = 256;
  return detail::launch(detail::remap_kernel<Index>, (n + threads - 1) / threads, threads, stream, false, ids, slot_of,
                        n);
}

}  // namespace buddy::inline v0::cuda
