// SPDX-License-Identifier: Apache-2.0
/// @file
/// From router logits to experts and gate weights: what a kernel in front of the decision computes, written down
/// serially.
#pragma once

#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/float_order.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <limits>

namespace buddy::inline v0 {

/// How a router turns logits into scores.
enum class score_function : std::uint8_t { softmax, sigmoid };

/// How a router turns scores into gate weights.
struct router_rule {
  score_function scores{score_function::softmax};
  bool renormalise{true};  ///< divide a token's weights by their sum
  float scale{1.0F};       ///< and multiply them with this
};

namespace detail {

inline constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
inline constexpr std::uint32_t one_q30 = 1U << 30;

/// e^-d in Q30. @pre d >= 0, or not a number
[[nodiscard]] BUDDY_HD constexpr std::uint32_t exp_negative_q30(float d) noexcept {
  if (!(d < 21.0F)) return 0;  // below 2^-30
  constexpr std::uint64_t log2_e_q30 = 1549082005;
  auto const d_q24 = static_cast<std::uint64_t>(product(d, 16777216.0F));  // a power of two: exact
  return exp2_negative_q30(static_cast<std::uint32_t>((d_q24 * log2_e_q30) >> 30));
}

/// e^(logit - top) in Q30: the softmax but for its sum. All experts of a token whose logits are minus infinity or not
/// numbers are alike; beside a logit of plus infinity every smaller one is 0.
[[nodiscard]] BUDDY_HD constexpr std::uint32_t softmax_part_q30(float logit, float top) noexcept {
  bool const is_top = order_bits(logit) == order_bits(top);
  return is_top ? one_q30 : exp_negative_q30(top - logit);
}

/// 1 / (1 + e^-logit); 0 for what is not a number.
[[nodiscard]] BUDDY_HD constexpr float sigmoid(float logit) noexcept {
  if (logit != logit) return 0.0F;
  std::uint32_t const part = exp_negative_q30(logit < 0.0F ? -logit : logit);
  auto const whole = static_cast<float>(std::uint64_t{one_q30} + part);
  return quotient(static_cast<float>(logit < 0.0F ? part : one_q30), whole);
}

/// Weights of the chosen experts from their scores: renormalised, scaled. Equal weights when nothing is left to divide.
BUDDY_HD constexpr void finish_weights(router_rule const& rule, view<float> weights) noexcept {
  float sum = 0.0F;
  for (float const w : weights) sum += w;
  for (float& w : weights) {
    if (rule.renormalise) w = sum > 0.0F ? quotient(w, sum) : quotient(1.0F, static_cast<float>(weights.size));
    w = product(w, rule.scale);
  }
}

/// The best expert whose bit in `chosen` is not set; ties go to the lower id. @pre there is one
[[nodiscard]] BUDDY_HD constexpr std::uint16_t best_of_rest(view<float const> logits,
                                                            view<std::uint16_t const> chosen) noexcept {
  std::uint32_t best = 0;
  std::uint32_t highest = 0;  // below every order
  for (std::uint32_t e = 0; e != logits.size; ++e) {
    bool is_chosen = false;
    for (std::uint16_t const c : chosen) is_chosen |= c == e;
    if (is_chosen || order_bits(logits[e]) <= highest) continue;
    highest = order_bits(logits[e]);
    best = e;
  }
  return static_cast<std::uint16_t>(best);
}

}  // namespace detail

/// Routes one token: the `experts.size` largest logits, by falling logit, ties to the lower id.
///
/// Integers decide, and what is divided is divided once, so that `cuda::route_token` gives the same bits. Defined for
/// any logits: what is not a number counts as minus infinity, and there are always top_k distinct experts.
/// @param logits   [n_experts]
/// @param experts  [top_k] out, distinct
/// @param weights  [top_k] out, gate weights as the model applies them
/// @param scores   [n_experts] out, softmax or sigmoid of all logits
/// @pre experts.size <= logits.size
/// Time O(top_k x n_experts): the specification, not the fast path.
BUDDY_HD constexpr void route_token(view<float const> logits, router_rule const& rule, view<std::uint16_t> experts,
                                    view<float> weights, view<float> scores) noexcept {
  for (std::uint32_t s = 0; s != experts.size; ++s) experts[s] = detail::best_of_rest(logits, experts.part(0, s));
  float const top = logits[experts[0]];
  std::uint64_t sum = 0;
  for (float const z : logits) sum += detail::softmax_part_q30(z, top);
  for (std::uint32_t e = 0; e != logits.size; ++e)
    scores[e] =
        rule.scores == score_function::sigmoid
            ? detail::sigmoid(logits[e])
            : detail::quotient(static_cast<float>(detail::softmax_part_q30(logits[e], top)), static_cast<float>(sum));
  for (std::uint32_t s = 0; s != experts.size; ++s) weights[s] = scores[experts[s]];
  detail::finish_weights(rule, weights);
}

}  // namespace buddy::inline v0
