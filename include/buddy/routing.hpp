// SPDX-License-Identifier: Apache-2.0
/// @file
/// What goes in: the router's decision for the tokens of one layer.
#pragma once

#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/float_order.hpp>
#include <buddy/score_log2.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <bit>
#include <cstdint>
#include <limits>

namespace buddy::inline v0 {

/// What the router decided for one batch at one layer; host memory, read only while `resolve` runs.
/// @pre every weight is finite and not negative: an infinity or a NaN has no share, and none is looked for
struct routing {
  view<std::uint16_t const> experts;  ///< [n_tokens, top_k] chosen experts, distinct within a token
  view<float const> weights;          ///< [n_tokens, top_k] gate weights as the model applies them, finite, >= 0
  /// [n_tokens, n_experts] router probabilities (softmax or sigmoid over all experts), or empty when the engine hides
  /// them. `weights` of one token must be `scores` at `experts` times one factor.
  view<float const> scores{};
  std::uint32_t n_tokens{1};
  /// [n_tokens, hidden_size] what the router read (after the norm), or empty when the engine hides it. Only predictors
  /// look at it.
  view<float const> inputs{};
  /// [n_tokens] Euclidean norm of the hidden state (residual stream) that the layer's output is added to, or empty when
  /// the engine hides it. An error of the same size harms a small state more.
  view<float const> hidden_norms{};
};

/// Bit s stands for the s-th routed slot of a token.
using slot_mask = std::uint32_t;

static_assert(max_top_k <= 32, "slot_mask has one bit for each routed slot");

/// The lowest slot of a mask. @pre mask != 0
[[nodiscard]] BUDDY_HD constexpr std::uint32_t first_slot(slot_mask mask) noexcept {
#if defined(__CUDA_ARCH__)
  std::uint32_t s = 0;
  while ((mask >> s & 1) == 0) ++s;
  return s;
#else
  return static_cast<std::uint32_t>(std::countr_zero(mask));
#endif
}

/// Says that a token's hidden state is not known.
inline constexpr std::int32_t unknown_norm = std::numeric_limits<std::int32_t>::min();

/// log2 of a hidden state's norm, Q16, from the float's bits: within 1/65536 on host and device alike. What has no
/// logarithm (0, a subnormal, a negative number, what is not finite) is `unknown_norm`.
[[nodiscard]] BUDDY_HD constexpr std::int32_t norm_log2_q16(float norm) noexcept {
  return norm >= least_score && norm <= 3.40282346e38F ? score_log2_q16(norm) : unknown_norm;
}

/// All that a gate or a selector may know of one token.
struct token_view {
  std::uint16_t layer{};
  std::uint64_t number{};                    ///< running number of the token, the same at every layer
  view<std::uint16_t const> experts;         ///< [top_k]
  view<q16 const> shares;                    ///< [top_k] gate weights divided by their sum, Q16
  view<float const> scores;                  ///< [n_experts], or empty
  std::int32_t norm_log2_q16{unknown_norm};  ///< log2 of the hidden state's norm, Q16, or `unknown_norm`
};

namespace detail {

/// Signed weights break `routing`'s precondition; both sides make the same of them all the same.
[[nodiscard]] BUDDY_HD constexpr float share_in_range(float share) noexcept {
  return share > 0.0F ? (share < 65534.0F ? share : 65534.0F) : 0.0F;
}

}  // namespace detail

/// Divides one token's gate weights by their sum; equal shares when the sum is not positive.
/// @param shares  [top_k] out, Q16, sums to 65536 but for rounding
BUDDY_HD constexpr void normalise(view<float const> weights, view<q16> shares) noexcept {
  float sum = 0.0F;
  for (float const w : weights) sum += w;
  for (std::uint32_t s = 0; s != weights.size; ++s)
    shares[s] = sum > 0.0F ? to_q16(detail::share_in_range(detail::quotient(weights[s], sum))) : q16_one / weights.size;
}

}  // namespace buddy::inline v0
