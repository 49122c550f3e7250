// SPDX-License-Identifier: Apache-2.0
/// @file
/// The router's top-k alone, for engines that decide elsewhere, and as the measure of what `decide` adds to it.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/dependent_launch.cuh>
#include <buddy/cuda/layer_decision.hpp>
#include <buddy/cuda/warp.cuh>

#include <cuda_runtime_api.h>

#include <cstdint>

namespace buddy::inline v0::cuda {

namespace detail {

inline constexpr std::uint32_t route_warps = 4;  // of a block: few tokens, spread over the multiprocessors

template <std::uint32_t PerLane>
BUDDY_KERNEL void __launch_bounds__(route_warps* device_warp::n_lanes)
    route_top_k_kernel(layer_arrays a, decision_rules rules) {
  std::uint32_t const t = blockIdx.x * route_warps + threadIdx.x / device_warp::n_lanes;
  if (t < a.n_tokens) route_row<PerLane>(device_warp{}, a, rules, t, nullptr);
}

template <std::uint32_t PerLane>
cudaError_t launch_route(layer_arrays const& a, decision_rules const& rules, cudaStream_t stream) noexcept {
  std::uint32_t const blocks = (a.n_tokens + route_warps - 1) / route_warps;
  return launch(route_top_k_kernel<PerLane>, blocks, route_warps * device_warp::n_lanes, stream, false, a, rules);
}

}  // namespace detail

/// Writes `experts`, `weights` and `scores` of every token from `logits`, bit for bit as `buddy::route_token` does.
///
/// One warp a token. Ordered on `stream`; does not synchronize. No allocation; can be captured.
/// @pre   logits and scores are not null; 1 <= top_k <= max_top_k, top_k <= n_experts <= max_experts
/// @returns the launch's status: `cudaSuccess`, or why nothing was launched
[[nodiscard]] inline cudaError_t route_top_k(layer_arrays const& a, router_rule const& rule,
                                             cudaStream_t stream) noexcept {
  if (a.n_tokens == 0) return cudaSuccess;
  if (a.logits == nullptr || a.scores == nullptr) return cudaErrorInvalidValue;
  decision_rules const rules{.router = rule};
  if (a.n_experts <= 256) return detail::launch_route<8>(a, rules, stream);
  return detail::launch_route<32>(a, rules, stream);
}

}  // namespace buddy::inline v0::cuda
