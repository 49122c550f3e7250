// SPDX-License-Identifier: Apache-2.0
/// @file
/// Lets only experts be replaced that add little to the token.
///
/// Source: the gate-weight thresholds of several engines that skip light experts. Differs from them: the weight is the
/// share among the routed experts, so that one threshold means the same at every layer.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/routing.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::sensitivity {

/// A slot may be replaced iff its share is below the threshold. Time O(top_k).
struct weight_gate {
  static constexpr std::string_view name = "weight_gate";

  q16 threshold_q16 = to_q16(0.12);  ///< smallest share that is protected

  /// @throws config_error unless 0 <= threshold <= 1
  [[nodiscard]] static constexpr weight_gate fixed(double threshold) {
    if (!(threshold >= 0.0 && threshold <= 1.0))
      detail::throw_config_error("buddy::sensitivity::weight_gate: threshold must be in [0, 1]");
    return {to_q16(threshold)};
  }

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    slot_mask mask = 0;
    for (std::uint32_t s = 0; s != token.shares.size; ++s) {
      if (token.shares[s] < threshold_q16) mask |= slot_mask{1} << s;
    }
    return mask;
  }
};

static_assert(sensitivity_estimator<weight_gate>);

}  // namespace buddy::inline v0::sensitivity
