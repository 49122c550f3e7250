// SPDX-License-Identifier: Apache-2.0
/// @file
/// Lets a fixed share of all experts be replaced, drawn by lot: how speed depends on that share, whoever decides it.
///
/// Source: ours; a control.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/routing.hpp>
#include <buddy/splitmix64.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::sensitivity {

/// A slot may be replaced with the probability `share`; the lot depends on token, layer and expert only. Time O(top_k).
struct share_gate {
  static constexpr std::string_view name = "share_gate";

  q16 share_q16 = q16_one;

  /// @throws config_error unless 0 <= share <= 1
  [[nodiscard]] static constexpr share_gate fixed(double share) {
    if (!(share >= 0.0 && share <= 1.0))
      detail::throw_config_error("buddy::sensitivity::share_gate: share must be in [0, 1]");
    return {to_q16(share)};
  }

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    std::uint64_t const row = splitmix64(token.number << 16U | token.layer);
    slot_mask mask = 0;
    for (std::uint32_t s = 0; s != token.experts.size; ++s) {
      if (below(splitmix64(row ^ token.experts[s]), q16_one) < share_q16) mask |= slot_mask{1} << s;
    }
    return mask;
  }
};

static_assert(sensitivity_estimator<share_gate>);

}  // namespace buddy::inline v0::sensitivity
