// SPDX-License-Identifier: Apache-2.0
/// @file
/// Residents that the router ranked only a little lower take the places of the missing.
///
/// Source: rank windows in open engines: keep the true top-J; fill up with residents of true rank below M, in rank
/// order; then with the true ranking; scale the substitutes by alpha. Differs from it: written as a choice for each
/// miss, which is the same set of experts (residents of the top-k come first in rank order, so they stay, and the
/// lightest missing ones lose their places first); the window of cumulative mass counts scores before the expert, in
/// fixed point.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/policies/selection/best_resident.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/score_log2.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::selection {

/// Serves a miss by the best unselected resident iff fewer than M experts, and less than the share P of all score,
/// are ranked before it.
///
/// Run it with `budget_order::lightest_first` and `weight_mode::own`, renormalised, and a `keep_top` gate for J. Equal
/// scores are ranked by id. Finds nothing when the engine hides the scores. Time O(n_experts).
struct rank_window {
  static constexpr std::string_view name = "rank_window";

  std::uint32_t width = 12;  ///< M
  q16 alpha_q16 = q16_one;   ///< factor of a substitute's output
  q16 mass_q16 = q16_one;    ///< P; 1 and more: no limit

  /// @throws config_error unless 0 <= alpha <= 16 and 0 <= mass <= 1
  [[nodiscard]] static constexpr rank_window fixed(std::uint32_t width, double alpha = 1.0, double mass = 1.0) {
    if (!(alpha >= 0.0 && alpha <= 16.0))
      buddy::detail::throw_config_error("buddy::selection::rank_window: alpha must be in [0, 16]");
    if (!(mass >= 0.0 && mass <= 1.0))
      buddy::detail::throw_config_error("buddy::selection::rank_window: mass must be in [0, 1]");
    return {width, to_q16(alpha), to_q16(mass)};
  }

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const& token, view<slot_id const> slot_of,
                                                   expert_set const& taken, std::uint32_t) const noexcept {
    stand_in best = detail::best_resident(token.scores, slot_of, taken);
    // All others are ranked lower: what is outside the window for the best is so for them.
    if (!best.found || !in_window(token.scores, best.expert)) return {};
    best.scale_q16 = alpha_q16;
    return best;
  }

  [[nodiscard]] BUDDY_HD constexpr bool in_window(view<float const> scores, std::uint16_t expert) const noexcept {
    std::uint32_t rank = 0;
    std::uint64_t before = 0;  // Q24
    std::uint64_t total = 0;
    for (std::uint32_t e = 0; e != scores.size; ++e) {
      std::uint32_t const mass = score_q24(scores[e]);
      total += mass;
      if (!(scores[e] > scores[expert]) && !(scores[e] == scores[expert] && e < expert)) continue;
      ++rank;
      before += mass;
    }
    return rank < width && (mass_q16 >= q16_one || before * q16_one < total * mass_q16);
  }
};

static_assert(buddy_selector<rank_window>);

}  // namespace buddy::inline v0::selection
