// SPDX-License-Identifier: Apache-2.0
/// @file
/// Lets a token's lightest experts be replaced as long as the layer's sensitivity to the lost weight stays in a limit.
///
/// Source: the adaptive gating of AdapMoE, arXiv:2408.10284: of two experts the second is left out when
/// (1 - alpha)^2 w_l <= T, with alpha the weight of the first and w_l the layer's Fisher information; that is, when its
/// share is below sqrt(T / w_l). Differs from it: any top_k, by the weight of a slot *and all lighter ones*, which for
/// two is the second's; strictly below T; never the heaviest; and only missing experts are given up.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/share_order.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::sensitivity {

/// A slot may be replaced iff w_l m^2 < T, with m the share of the slot and all lighter ones, and it is not the
/// heaviest. Time O(top_k^2).
struct adapmoe_gate {
  static constexpr std::string_view name = "adapmoe_gate";

  std::uint64_t limit_q32 = 21474836;  ///< T, unit 2^-32: 0.005
  view<q16 const> layer_weights{};     ///< [n_layers] w_l, each below 2^31, where it is decided; empty: all are 1

  /// @throws config_error unless 0 <= limit <= 1
  [[nodiscard]] static constexpr adapmoe_gate fixed(double limit) {
    if (!(limit >= 0.0 && limit <= 1.0))
      detail::throw_config_error("buddy::sensitivity::adapmoe_gate: limit must be in [0, 1]");
    return {static_cast<std::uint64_t>(limit * 0x1p32), {}};
  }

  /// Whether there is a weight for each layer of this model.
  [[nodiscard]] constexpr bool fits(model_shape const& shape) const noexcept {
    return layer_weights.empty() || layer_weights.size == shape.n_layers;
  }

  /// @pre layer_weights is empty or longer than token.layer
  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    std::uint64_t const weight = layer_weights.empty() ? q16_one : layer_weights[token.layer];
    slot_mask mask = 0;
    for (std::uint32_t s = 0; s != token.shares.size; ++s) {
      std::uint64_t const mass = tail_mass(token, s);  // rounding may take it a little above 1: 2^33 x 2^31 at most
      bool const bears = mass * mass * weight < limit_q32 << 16;
      if (bears && share_rank(token, s) != 0) mask |= slot_mask{1} << s;
    }
    return mask;
  }
};

static_assert(sensitivity_estimator<adapmoe_gate>);

}  // namespace buddy::inline v0::sensitivity
