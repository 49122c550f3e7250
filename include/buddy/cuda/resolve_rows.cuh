// SPDX-License-Identifier: Apache-2.0
/// @file
/// The decision for a batch on the device, with the source that the host runs.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/resolver.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cuda_runtime_api.h>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// One layer of one step, as the tokens of a batch see it. Pointers to device memory for the kernel.
struct layer_rows {
  std::uint16_t layer{};
  std::uint64_t first_number{};  ///< running number of the first token; the others follow
  routing batch;
  view<slot_id const> slot_of;  ///< [n_experts] slots of this layer's residents, `no_slot` for the rest
};

static_assert(device_portable<layer_rows> && device_portable<row_rules> && device_portable<slot_outcome>);

/// Resolves the t-th token of the batch; the same on host and device, given pointers of that side.
/// @param outcomes  [n_tokens, top_k] out: how each slot ends
template <sensitivity_estimator Gate, buddy_selector Selector>
BUDDY_HD constexpr void resolve_token(layer_rows const& rows, std::uint32_t t, row_rules const& rules, Gate const& gate,
                                      Selector const& selector, view<slot_outcome> outcomes) noexcept {
  std::uint32_t const top_k = rows.batch.experts.size / rows.batch.n_tokens;
  std::uint32_t const n_experts = rows.slot_of.size;
  view<float const> const scores = rows.batch.scores;
  q16 buffer[max_top_k] = {};
  view<q16> const shares{buffer, top_k};
  normalise(rows.batch.weights.part(t * top_k, top_k), shares);
  token_view const token{rows.layer, rows.first_number + t, rows.batch.experts.part(t * top_k, top_k), shares,
                         scores.empty() ? scores : scores.part(t * n_experts, n_experts)};
  resolve_row(token, rows.slot_of, rules, gate, selector, outcomes.part(t * top_k, top_k));
}

namespace detail {

template <class Gate, class Selector>
BUDDY_KERNEL void resolve_rows_kernel(layer_rows rows, row_rules rules, Gate gate, Selector selector,
                                      view<slot_outcome> outcomes) {
  std::uint32_t const t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t < rows.batch.n_tokens) resolve_token(rows, t, rules, gate, selector, outcomes);
}

}  // namespace detail

/// Resolves every token of a batch, one thread a token: bit for bit what `policy::resolve` decides on the host.
///
/// `rules` hold for each token alike: the distribution gate is the caller's to judge (`rules.closed`), and a sliding
/// window gives every token the same `window_budget`, whatever the tokens before it took. Ordered on `stream`; does not
/// synchronize. No allocation.
/// @param rows      its views, and those inside `gate` and `selector`, point to device memory
/// @param outcomes  [n_tokens, top_k] out; device memory
/// @pre   every expert < n_experts; top_k <= max_top_k; n_tokens below 2^31
/// @returns the launch's status: `cudaSuccess`, or why nothing was launched
template <sensitivity_estimator Gate, buddy_selector Selector>
[[nodiscard]] cudaError_t resolve_rows(layer_rows const& rows, row_rules const& rules, Gate const& gate,
                                       Selector const& selector, view<slot_outcome> outcomes,
                                       cudaStream_t stream) noexcept {
  if (rows.batch.n_tokens == 0) return cudaSuccess;
  constexpr std::uint32_t threads = 64;  // few tokens: spread them over the multiprocessors
  std::uint32_t const blocks = (rows.batch.n_tokens + threads - 1) / threads;
  detail::resolve_rows_kernel<<<blocks, threads, 0, stream>>>(rows, rules, gate, selector, outcomes);
  return cudaPeekAtLastError();
}

}  // namespace buddy::inline v0::cuda
