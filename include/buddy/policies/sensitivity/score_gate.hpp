// SPDX-License-Identifier: Apache-2.0
/// @file
/// Lets only experts be replaced to which the router gave little probability.
///
/// Source: the thresholds on the unnormalised gate weight in open engines (a miss below tau = 0.03 is left out, or
/// served by the best-scored resident). `weight_gate` is the same rule on the share among the routed experts.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/routing.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::sensitivity {

/// A slot may be replaced iff its expert's score is below tau. Where the engine hides the scores, none may.
/// Compares floats and computes none. Time O(top_k).
struct score_gate {
  static constexpr std::string_view name = "score_gate";

  float tau = 0.03F;  ///< smallest router probability that is protected

  /// @throws config_error unless 0 <= tau <= 1
  [[nodiscard]] static constexpr score_gate fixed(double tau) {
    if (!(tau >= 0.0 && tau <= 1.0))
      detail::throw_config_error("buddy::sensitivity::score_gate: tau must be in [0, 1]");
    return {static_cast<float>(tau)};
  }

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    slot_mask mask = 0;
    if (token.scores.empty()) return mask;
    for (std::uint32_t s = 0; s != token.experts.size; ++s) {
      if (token.scores[token.experts[s]] < tau) mask |= slot_mask{1} << s;
    }
    return mask;
  }
};

static_assert(sensitivity_estimator<score_gate>);

}  // namespace buddy::inline v0::sensitivity
