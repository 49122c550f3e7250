// SPDX-License-Identifier: Apache-2.0
/// @file
/// The one decision: which of a token's misses get a stand-in, so that time and expected loss together are least.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/row_rules.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// How many of the cheapest stand-ins to take, so that worth_ub(n_others + m - j) + the loss of the j cheapest is least
/// while that loss stays within the allowance; of equal sums the fewest.
///
/// That is the best of all 2^m subsets, without looking at them: the records of one layer are of one size, so time
/// depends only on how many are not replaced, and for each number of stand-ins the cheapest ones lose least.
/// @param losses_ub  [m] expected losses, rising
/// @param n_others   misses that get no stand-in whatever is decided
/// @param most       stand-ins that may be given
/// Time O(m).
[[nodiscard]] BUDDY_HD constexpr std::uint32_t cheapest_count(view<std::uint32_t const> losses_ub,
                                                              loss_limits const& limits, std::uint32_t n_others,
                                                              std::uint32_t most) noexcept {
  std::uint32_t best = 0;
  std::uint64_t least = limits.worth_ub(n_others + losses_ub.size);
  std::uint64_t lost = 0;
  for (std::uint32_t j = 1; j <= losses_ub.size && j <= most; ++j) {
    lost += losses_ub[j - 1];
    if (lost > limits.allowance_ub) break;
    std::uint64_t const both = lost + limits.worth_ub(n_others + losses_ub.size - j);
    if (both >= least) continue;
    least = both;
    best = j;
  }
  return best;
}

namespace detail {

/// The misses of one token for which the selector has something, cheapest first.
struct loss_candidates {
  std::uint32_t losses_ub[max_top_k];  // rising
  std::uint8_t slots[max_top_k];       // of the same order
  std::uint32_t size;

  /// Keeps the order; ties go to the lower expert id.
  BUDDY_HD constexpr void insert(token_view const& token, std::uint32_t s, std::uint32_t loss_ub) noexcept {
    std::uint32_t at = size++;
    for (; at != 0; --at) {
      std::uint32_t const before = slots[at - 1];
      if (losses_ub[at - 1] < loss_ub || (losses_ub[at - 1] == loss_ub && token.experts[before] < token.experts[s]))
        break;
      slots[at] = slots[at - 1];
      losses_ub[at] = losses_ub[at - 1];
    }
    slots[at] = static_cast<std::uint8_t>(s);
    losses_ub[at] = loss_ub;
  }
};

[[nodiscard]] BUDDY_HD constexpr std::uint32_t bits_set(slot_mask mask) noexcept {
  std::uint32_t n = 0;
  for (; mask != 0; mask &= mask - 1) ++n;
  return n;
}

/// Why a candidate that was not taken is refused, when `given` were.
[[nodiscard]] BUDDY_HD constexpr refusal loss_refusal(row_rules const& rules, std::uint32_t given) noexcept {
  if (given == rules.token_budget) return refusal::token_budget;
  return given == rules.window_budget ? refusal::replacement_ratio : refusal::loss_budget;
}

/// Asks the selector for each slot of `open`; writes why there is no candidate.
template <buddy_selector Selector>
BUDDY_HD constexpr void collect_candidates(token_view const& token, slot_mask open, view<slot_id const> slot_of,
                                           expert_set const& taken, Selector const& selector, loss_candidates& all,
                                           view<slot_outcome> out) noexcept {
  all.size = 0;
  for (; open != 0; open &= open - 1) {
    std::uint32_t const s = first_slot(open);
    stand_in const found = selector.select(token, slot_of, taken, s);
    if (!found.found) {
      out[s].why = refusal::no_stand_in;
    } else if (found.loss_ub == unknown_loss_ub) {
      out[s].why = refusal::loss_budget;
    } else {
      all.insert(token, s, found.loss_ub);
    }
  }
}

/// Serves the misses of one token by `budget_order::least_loss`; `out` says `otherwise` for each of them so far.
///
/// Two candidates may want one buddy: the cheaper has it, and the other takes what the selector finds then, if that too
/// fits in the allowance and costs less than its fetch is worth.
/// @param bearable  slots that the gate lets go
/// @param taken     the routed experts
/// @returns stand-ins given
template <buddy_selector Selector>
BUDDY_HD constexpr std::uint32_t resolve_by_loss(token_view const& token, slot_mask missing, slot_mask bearable,
                                                 view<slot_id const> slot_of, row_rules const& rules, expert_set& taken,
                                                 Selector const& selector, view<slot_outcome> out) noexcept {
  for (slot_mask left = missing & ~bearable; left != 0; left &= left - 1)
    out[first_slot(left)].why = refusal::sensitivity;
  for (slot_mask left = missing & bearable & rules.loss.arriving; left != 0; left &= left - 1)
    out[first_slot(left)].why = refusal::loss_budget;
  loss_candidates all;
  collect_candidates(token, missing & bearable & ~rules.loss.arriving, slot_of, taken, selector, all, out);
  std::uint32_t const n_others = bits_set(missing & ~rules.loss.arriving) - all.size;
  std::uint32_t const most = rules.token_budget < rules.window_budget ? rules.token_budget : rules.window_budget;
  std::uint32_t const wanted = cheapest_count({all.losses_ub, all.size}, rules.loss, n_others, most);
  std::uint64_t lost = 0;
  std::uint32_t given = 0;
  for (std::uint32_t i = 0; i != all.size; ++i) {
    std::uint32_t const s = all.slots[i];
    // Asked again: what it named may have been taken by a cheaper slot of this token.
    stand_in const best = i < wanted ? selector.select(token, slot_of, taken, s) : stand_in{};
    bool const worth_it =
        best.loss_ub == all.losses_ub[i] || (best.loss_ub != unknown_loss_ub && best.loss_ub < rules.loss.worth_ub(1));
    if (!best.found || !worth_it || best.loss_ub > rules.loss.allowance_ub - lost) {
      out[s].why = loss_refusal(rules, given);
      continue;
    }
    std::uint16_t const served_by = best.how == resolution::buddy ? best.expert : token.experts[s];
    out[s] = {best.how, refusal::none, served_by, best.rank, best.scale_q16, best.loss_ub};
    taken.insert(served_by);
    lost += best.loss_ub;
    ++given;
  }
  return given;
}

}  // namespace detail

}  // namespace buddy::inline v0
