// SPDX-License-Identifier: Apache-2.0
/// @file
/// Whether an expert elsewhere is worth the trip: a gate and a selector that know the distance of every expert.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/score_log2.hpp>
#include <buddy/view.hpp>

#include <buddy_torch/parallel/expert_placement.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::torch {

/// A slot may be replaced iff its share is below the threshold of its expert's distance: the farther, the more may be
/// lost.
struct hop_gate {
  static constexpr std::string_view name = "hop_gate";

  view<std::uint8_t const> hops;  ///< [n_experts] of the layer
  q16 below_q16[n_hops]{};        ///< by distance; 0: never

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    slot_mask mask = 0;
    for (std::uint32_t s = 0; s != token.shares.size; ++s)
      if (token.shares[s] < below_q16[hops[token.experts[s]]]) mask |= slot_mask{1} << s;
    return mask;
  }
};

static_assert(sensitivity_estimator<hop_gate>);

/// The expert with the best score after the distance took its part, of those that are nearer than the missing one.
///
/// Source: BuddyMoE, arXiv:2511.10054, Eq. 3, the factor 1 - kappa hop. Differs from it: the live score takes the place
/// of the co-activation, and what is as far as the missing expert is no candidate, since it saves nothing. Integers.
/// Every expert within reach must have a slot, whatever its number.
struct hop_score {
  static constexpr std::string_view name = "hop_score";

  view<std::uint8_t const> hops;  ///< [n_experts] of the layer
  q16 kappa_q16{};                ///< in [0, 1]

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const& token, view<slot_id const> slot_of,
                                                   expert_set const& taken, std::uint32_t s) const noexcept {
    stand_in best;
    std::uint64_t highest = 0;
    std::uint32_t const distance = hops[token.experts[s]];
    for (std::uint32_t e = 0; e != token.scores.size; ++e) {
      if (hops[e] >= distance || slot_of[e] == no_slot || taken.contains(e)) continue;
      std::uint64_t const worth = std::uint64_t{score_q24(token.scores[e])} * factor_q16(hops[e]);
      if (worth <= highest) continue;
      highest = worth;
      best = {true, resolution::buddy, static_cast<std::uint16_t>(e), 0};
    }
    return best;
  }

 private:
  [[nodiscard]] BUDDY_HD constexpr q16 factor_q16(std::uint32_t hop) const noexcept {
    std::uint64_t const lost = std::uint64_t{kappa_q16} * hop;
    return lost < q16_one ? static_cast<q16>(q16_one - lost) : 0;
  }
};

static_assert(buddy_selector<hop_score>);

}  // namespace buddy::inline v0::torch
