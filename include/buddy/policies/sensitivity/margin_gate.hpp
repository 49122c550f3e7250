// SPDX-License-Identifier: Apache-2.0
/// @file
/// Forbids stand-ins when the router clearly preferred one expert.
///
/// Source: the margin rule of BuddyMoE, arXiv:2511.10054, section 3.1, alone. Differs from it: Q16 integers.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/policies/sensitivity/slots.hpp>
#include <buddy/routing.hpp>

#include <string_view>

namespace buddy::inline v0::sensitivity {

/// All of a token's experts may be replaced iff its two largest shares are closer than gamma. Time O(top_k).
struct margin_gate {
  static constexpr std::string_view name = "margin_gate";

  q16 gamma_q16 = to_q16(0.25);  ///< smallest margin that forbids

  /// @throws config_error unless 0 <= gamma <= 1
  [[nodiscard]] static constexpr margin_gate fixed(double gamma) {
    if (!(gamma >= 0.0 && gamma <= 1.0))
      detail::throw_config_error("buddy::sensitivity::margin_gate: gamma must be in [0, 1]");
    return {to_q16(gamma)};
  }

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    return detail::margin(token.shares) < gamma_q16 ? detail::all_slots(token.shares.size) : 0;
  }
};

static_assert(sensitivity_estimator<margin_gate>);

}  // namespace buddy::inline v0::sensitivity
