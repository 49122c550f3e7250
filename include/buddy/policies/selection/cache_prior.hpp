// SPDX-License-Identifier: Apache-2.0
/// @file
/// Residents get a bonus on their router logits, as if the top-k were taken again with a prior for the cache.
///
/// Source: cache-aware routing, arXiv:2412.00099: z' = z + lambda Delta for residents, then the top-k of z'. Differs
/// from it: Delta is this token's range of logits, not a running mean; logits are log2 of the scores in fixed point, so
/// for routers with softmax. Written as a choice for each miss, which is the same set of experts: a bonus that all
/// residents share displaces no resident, so it only lets the best unselected residents, in falling order, beat the
/// missing experts, in rising order.
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

/// Serves slot s by the best unselected resident j iff z_j + lambda Delta > z_s; a tie keeps the router's choice.
///
/// Run it with `budget_order::lightest_first` and `weight_mode::own`, renormalised, and a `keep_top` gate to force the
/// true top-J. Delta is max z - min z over the scores that have a logarithm; a score of 0 has none and counts as
/// 2^-127. Finds nothing when the engine hides the scores. Time O(n_experts).
struct cache_prior {
  static constexpr std::string_view name = "cache_prior";

  q16 lambda_q16 = q16_one / 2;

  /// @throws config_error unless 0 <= lambda <= 16
  [[nodiscard]] static constexpr cache_prior fixed(double lambda) {
    if (!(lambda >= 0.0 && lambda <= 16.0))
      buddy::detail::throw_config_error("buddy::selection::cache_prior: lambda must be in [0, 16]");
    return {to_q16(lambda)};
  }

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const& token, view<slot_id const> slot_of,
                                                   expert_set const& taken, std::uint32_t s) const noexcept {
    stand_in const best = detail::best_resident(token.scores, slot_of, taken);
    if (!best.found) return {};
    std::int64_t const own = score_log2_q16(token.scores[token.experts[s]]);
    return score_log2_q16(token.scores[best.expert]) + bonus(token.scores) > own ? best : stand_in{};
  }

  /// lambda Delta, Q16, rounded down.
  [[nodiscard]] BUDDY_HD constexpr std::int64_t bonus(view<float const> scores) const noexcept {
    float highest = 0.0F;
    float lowest = 0.0F;  // of those with a logarithm; 0: none yet
    for (float const x : scores) {
      if (!(x >= least_score)) continue;
      highest = x > highest ? x : highest;
      lowest = lowest == 0.0F || x < lowest ? x : lowest;
    }
    return (std::int64_t{score_log2_q16(highest)} - score_log2_q16(lowest)) * lambda_q16 >> 16;
  }
};

static_assert(buddy_selector<cache_prior>);

}  // namespace buddy::inline v0::selection
