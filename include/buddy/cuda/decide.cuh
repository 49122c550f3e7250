// SPDX-License-Identifier: Apache-2.0
/// @file
/// The decision for a layer in one kernel: router logits in, slots and weights out, no host in between.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/cuda/dependent_launch.cuh>
#include <buddy/cuda/layer_decision.hpp>
#include <buddy/cuda/warp.cuh>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>

namespace buddy::inline v0::cuda {

namespace detail {

inline constexpr std::uint32_t decide_warps = 8;  // of a block: as many registers as a thread can have

/// Each warp its rows; when a window or a budget links the rows, the first warp takes all of them, token after token.
template <class Gate, class Selector>
__device__ void resolve_rows_of_block(layer_arrays const& a, decision_rules const& rules, Gate const& gate,
                                      Selector const& selector, refusal closed, std::uint32_t first,
                                      std::uint32_t stride) {
  device_warp const warp;
  std::uint32_t const own = threadIdx.x / device_warp::n_lanes;
  bool const linked = a.links_rows();
  if (linked && own != 0) return;
  for (std::uint32_t t = first + own; t < a.n_tokens; t += linked ? 1 : stride) {
    row_given const given = resolve_row_of(warp, a, rules, gate, selector, closed, a.limits(), t);
    warp.sync();
    if (!linked) continue;
    if (device_warp::lane() == 0) a.push(given);
    warp.sync();
  }
}

template <std::uint32_t PerLane, class Gate, class Selector>
BUDDY_KERNEL void __launch_bounds__(decide_warps* device_warp::n_lanes, 1)
    decide_kernel(layer_arrays a, decision_rules rules, Gate gate, Selector selector) {
  __shared__ std::uint32_t batch[device_warp::n_lanes];
  if (threadIdx.x < device_warp::n_lanes) batch[threadIdx.x] = 0;
  __syncthreads();
  device_warp const warp;
  std::uint32_t const first = blockIdx.x * decide_warps;
  std::uint32_t const stride = gridDim.x * decide_warps;
  for (std::uint32_t t = first + threadIdx.x / device_warp::n_lanes; t < a.n_tokens; t += stride)
    route_row<PerLane>(warp, a, rules, t, batch);
  __syncthreads();
  __shared__ refusal closed;  // one answer for the block, though experts may become resident meanwhile
  if (threadIdx.x < device_warp::n_lanes) {
    refusal const why = closed_batch(warp, a, rules, batch);
    if (threadIdx.x == 0) closed = why;
  }
  __syncthreads();
  resolve_rows_of_block(a, rules, gate, selector, closed, first, stride);
}

template <std::uint32_t PerLane, class Gate, class Selector>
cudaError_t launch_decide(layer_arrays const& a, decision_rules const& rules, Gate const& gate,
                          Selector const& selector, cudaStream_t stream) noexcept {
  bool const one_block = rules.looks_at_whole_batch() || a.links_rows();
  std::uint32_t const wanted = (a.n_tokens + decide_warps - 1) / decide_warps;
  std::uint32_t const warps = std::min(a.n_tokens, decide_warps);
  return launch(decide_kernel<PerLane, Gate, Selector>, one_block ? 1 : wanted, warps * device_warp::n_lanes, stream,
                false, a, rules, gate, selector);
}

}  // namespace detail

/// Decides for a batch: with `logits`, from the router's top-k on (fused); without, for the experts that the engine
/// chose. One warp a token; bit for bit what `policy::resolve` decides on the host for the same residents.
///
/// Ordered on `stream`; does not synchronize. No allocation; can be captured in a graph that never changes. A batch
/// under a distribution gate, a replacement window or a loss budget is one block's work, and a window or a budget makes
/// one warp of it: meant for decode, where a batch has few tokens. Fetches that tokens of a batch share are not weighed
/// together here, nor are miss lanes: a row's budget is the host's for batches of one token whose misses are fetched.
/// @param gate, selector  views in them point to device memory
/// @pre   experts < n_experts, distinct within a token; 1 <= top_k <= max_top_k; n_experts <= max_experts; with
///        `logits`, `scores` is not null; with `weight_mode::own` or `live_score` neither
/// @returns the launch's status: `cudaSuccess`, or why nothing was launched
template <sensitivity_estimator Gate, buddy_selector Selector>
[[nodiscard]] cudaError_t decide(layer_arrays const& a, decision_rules const& rules, Gate const& gate,
                                 Selector const& selector, cudaStream_t stream) noexcept {
  if (a.n_tokens == 0) return cudaSuccess;
  if (a.logits != nullptr && a.scores == nullptr) return cudaErrorInvalidValue;
  if (a.logits == nullptr || a.n_experts <= 256) return detail::launch_decide<8>(a, rules, gate, selector, stream);
  return detail::launch_decide<32>(a, rules, gate, selector, stream);
}

}  // namespace buddy::inline v0::cuda
