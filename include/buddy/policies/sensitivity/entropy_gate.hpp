// SPDX-License-Identifier: Apache-2.0
/// @file
/// Forbids stand-ins for tokens whose gate weights are concentrated on few experts.
///
/// Source: BuddyMoE, arXiv:2511.10054, section 3.1, Eq. 1 (the paper's section 3.4 words the direction of tau the other
/// way round; this follows the equation). Differs from it: Q16 integers.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/sensitivity/slots.hpp>
#include <buddy/routing.hpp>
#include <buddy/token_entropy.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::sensitivity {

/// All of a token's experts may be replaced iff TAE > tau, and, where a margin is set, p_max - p_2nd < gamma.
///
/// TAE = -sum p ln p / ln top_k over the token's shares, as `token_entropy_q16` rounds it: the percentiles in a
/// profile are the same numbers. A higher tau protects more tokens. With top_k 1 the entropy says nothing: forbidden.
/// Time O(top_k).
struct entropy_gate {
  static constexpr std::string_view name = "entropy_gate";
  static constexpr q16 no_margin = 0xffff'ffffU;  ///< above every margin

  q16 tau_q16 = to_q16(0.95);
  view<q16 const> tau_per_layer{};        ///< [n_layers], in the memory of whoever decides; empty: `tau_q16` for all
  q16 inverse_temperature_q16 = q16_one;  ///< 1/T: the entropy is that of softmax(logits / T), restricted to top_k
  q16 gamma_q16 = no_margin;              ///< smallest margin that forbids; of the shares as they are, whatever T

  /// One threshold for all layers; the paper evaluated 0.95.
  /// @throws config_error unless 0 <= tau <= 1
  [[nodiscard]] static constexpr entropy_gate fixed(double tau) {
    if (!(tau >= 0.0 && tau <= 1.0))
      detail::throw_config_error("buddy::sensitivity::entropy_gate: tau must be in [0, 1]");
    entropy_gate gate;
    gate.tau_q16 = to_q16(tau);
    return gate;
  }

  /// A threshold for each layer, such as a percentile of that layer's entropies in a profile.
  /// @param tau  [n_layers]; must outlive the gate
  [[nodiscard]] static constexpr entropy_gate per_layer(view<q16 const> tau) noexcept {
    entropy_gate gate;
    gate.tau_per_layer = tau;
    return gate;
  }

  /// The same gate at temperature T; the paper suggests 0.8 to 1.2.
  /// @throws config_error unless 1/65536 <= T <= 65536
  [[nodiscard]] constexpr entropy_gate with_temperature(double t) const {
    if (!(t >= 1.0 / 65536.0 && t <= 65536.0))
      detail::throw_config_error("buddy::sensitivity::entropy_gate: temperature must be in [1/65536, 65536]");
    entropy_gate gate = *this;
    gate.inverse_temperature_q16 = t == 1.0 / 65536.0 ? 0xffff'ffffU : to_q16(1.0 / t);
    return gate;
  }

  /// The same gate that also forbids from this margin upwards.
  /// @throws config_error unless 0 <= gamma <= 1
  [[nodiscard]] constexpr entropy_gate with_margin(double gamma) const {
    if (!(gamma >= 0.0 && gamma <= 1.0))
      detail::throw_config_error("buddy::sensitivity::entropy_gate: gamma must be in [0, 1]");
    entropy_gate gate = *this;
    gate.gamma_q16 = to_q16(gamma);
    return gate;
  }

  /// Whether there is a threshold for each layer of this model.
  [[nodiscard]] constexpr bool fits(model_shape const& shape) const noexcept {
    return tau_per_layer.empty() || tau_per_layer.size == shape.n_layers;
  }

  /// @pre tau_per_layer is empty or longer than token.layer
  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    q16 const tau = tau_per_layer.empty() ? tau_q16 : tau_per_layer[token.layer];
    bool const bears = token.shares.size > 1 && entropy(token.shares) > tau && detail::margin(token.shares) < gamma_q16;
    return bears ? detail::all_slots(token.shares.size) : 0;
  }

 private:
  [[nodiscard]] BUDDY_HD constexpr q16 entropy(view<q16 const> shares) const noexcept {
    if (inverse_temperature_q16 == q16_one) return token_entropy_q16(shares);
    q16 tempered[max_top_k] = {};
    temper(shares, {tempered, shares.size});
    return token_entropy_q16({tempered, shares.size});
  }

  /// softmax(logits / T) over the routed experts is shares^(1/T) divided by its sum.
  BUDDY_HD constexpr void temper(view<q16 const> shares, view<q16> out) const noexcept {
    q16 largest = 1;
    for (q16 const share : shares) largest = share > largest ? share : largest;
    std::uint64_t sum = 0;
    for (std::uint32_t s = 0; s != shares.size; ++s) {
      out[s] = shares[s] == 0 ? 0 : power(log2_q16(shares[s]) - log2_q16(largest));
      sum += out[s];
    }
    if (sum == 0) return;
    for (q16& p : out) p = static_cast<q16>(((std::uint64_t{p} << 16) + sum / 2) / sum);
  }

  /// 2^(log_ratio / T); powers too small for Q16 are 0.
  [[nodiscard]] BUDDY_HD constexpr q16 power(std::int32_t log_ratio) const noexcept {
    std::int64_t const x = (std::int64_t{log_ratio} * inverse_temperature_q16) >> 16;
    constexpr std::int64_t least = -32 * 65536;
    return exp2_q16(static_cast<std::int32_t>(x < least ? least : x));
  }
};

static_assert(sensitivity_estimator<entropy_gate>);

}  // namespace buddy::inline v0::sensitivity
