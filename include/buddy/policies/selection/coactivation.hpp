// SPDX-License-Identifier: Apache-2.0
/// @file
/// The stand-in is the resident peer that was most often active together with the missing expert.
///
/// Source: BuddyMoE, arXiv:2511.10054, Eq. 3 and section 4 (first resident, unused entry among the first H). Differs
/// from it: fixed point; the paper leaves the normalisation of the live logit open, here it is the peer's router
/// probability over the token's largest.
#pragma once

#include <buddy/buddy_table.hpp>
#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/selection/list_walk.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/score_log2.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::selection {

/// Takes the candidate with the largest Psi = q (1 + eta z) (1 - kappa hop) among the first entries of the list.
///
/// q is the similarity in the table, z the candidate's score over the token's largest (0 when scores are hidden), hop
/// its distance; 1 - kappa hop is not let below 0. Ties go to the earlier entry. With eta = kappa = 0, the published
/// setting, that is the first resident one, and no entry after it is read.
struct coactivation {
  static constexpr std::string_view name = "coactivation";

  buddy_table_ref table{};
  std::uint32_t search_limit = 16;  ///< H: entries of the list that are looked at, resident or not
  q16 eta_q16 = 0;                  ///< weight of the live score; at most 2^30
  q16 kappa_q16 = 0;                ///< penalty for each hop
  view<std::uint8_t const> hops{};  ///< [n_experts] partitions between the token and the expert; empty: none

  /// Whether the tables are of this model's sizes.
  [[nodiscard]] constexpr bool fits(model_shape const& shape) const noexcept {
    return table.fits(shape) && (hops.empty() || hops.size == shape.n_experts);
  }

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const& token, view<slot_id const> slot_of,
                                                   expert_set const& taken, std::uint32_t s) const noexcept {
    buddy_list const list = table.of({token.layer, token.experts[s]});
    std::uint32_t const n = list.experts.size < search_limit ? list.experts.size : search_limit;
    if (eta_q16 == 0 && (kappa_q16 == 0 || hops.empty()))
      return detail::first_resident(list, slot_of, taken, search_limit, 0);
    std::uint32_t const top = eta_q16 == 0 ? 0 : top_score(token.scores);
    stand_in best{};
    std::uint64_t best_psi = 0;
    for (std::uint32_t r = 0; r != n; ++r) {
      std::uint16_t const j = list.experts[r];
      if (slot_of[j] == no_slot || taken.contains(j)) continue;
      std::uint64_t const psi = list.similarities[r] * live(token.scores, j, top) * near(j);
      if (best.found && psi <= best_psi) continue;
      best = {true, resolution::buddy, j, static_cast<std::uint16_t>(r)};
      best_psi = psi;
    }
    return best;
  }

 private:
  static BUDDY_HD constexpr std::uint32_t top_score(view<float const> scores) noexcept {
    float top = 0.0F;
    for (float const x : scores) top = x > top ? x : top;
    return score_q24(top);
  }

  /// 1 + eta z, Q16.
  BUDDY_HD constexpr std::uint64_t live(view<float const> scores, std::uint16_t j, std::uint32_t top) const noexcept {
    if (top == 0) return q16_one;
    std::uint64_t const z = (std::uint64_t{score_q24(scores[j])} << 16) / top;
    return q16_one + ((eta_q16 * z) >> 16);
  }

  /// 1 - kappa hop, Q16.
  BUDDY_HD constexpr std::uint64_t near(std::uint16_t j) const noexcept {
    std::uint64_t const penalty = hops.empty() ? 0 : std::uint64_t{kappa_q16} * hops[j];
    return penalty < q16_one ? q16_one - penalty : 0;
  }
};

static_assert(buddy_selector<coactivation>);

}  // namespace buddy::inline v0::selection
