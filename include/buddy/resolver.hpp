// SPDX-License-Identifier: Apache-2.0
/// @file
/// One token at one layer: each routed slot gets its resolution. Pure, the same source on host and device.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/loss_decision.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/row_rules.hpp>

#include <cstdint>

namespace buddy::inline v0 {

namespace detail {

/// The missing slot to serve next. @pre missing != 0
[[nodiscard]] BUDDY_HD constexpr std::uint32_t next_missing(slot_mask missing, token_view const& token,
                                                            budget_order order) noexcept {
  std::uint32_t best = first_slot(missing);
  if (order == budget_order::router) return best;
  for (missing &= missing - 1; missing != 0; missing &= missing - 1) {
    std::uint32_t const s = first_slot(missing);
    if (token.shares[s] <= token.shares[best]) best = s;
  }
  return best;
}

}  // namespace detail

/// Resolves the missing slots of one token, where the caller knows which those are; `out` of the others stays as it is.
///
/// Misses ask, in `rules.order`: is the row open, does the gate bear it, is a stand-in left in the token's and in the
/// window's budget, does the selector find one? A token never gets one expert twice. By `budget_order::least_loss` all
/// misses ask the selector first, and those whose stand-ins lose least are served, see `cheapest_count`.
/// @param missing  the routed slots whose experts are not among the residents
/// @param slot_of  [n_experts] slots of this layer's residents, `no_slot` for the rest
/// @param out      [top_k] how each missing slot ends
/// @returns the number of stand-ins given
/// Time O(top_k) plus the gate once and the selector once for each miss. No allocation.
template <sensitivity_estimator Gate, buddy_selector Selector>
BUDDY_HD constexpr std::uint32_t resolve_misses(token_view const& token, slot_mask missing, view<slot_id const> slot_of,
                                                row_rules const& rules, Gate const& gate, Selector const& selector,
                                                view<slot_outcome> out) noexcept {
  for (slot_mask left = missing; left != 0; left &= left - 1) {
    std::uint32_t const s = first_slot(left);
    out[s] = {rules.otherwise, rules.closed, token.experts[s], 0, q16_one, 0};
  }
  if (missing == 0 || rules.closed != refusal::none) return 0;

  slot_mask const bearable = gate.replaceable(token);
  expert_set taken(slot_of.size);
  for (std::uint16_t const expert : token.experts) taken.insert(expert);
  if (rules.order == budget_order::least_loss)
    return detail::resolve_by_loss(token, missing, bearable, slot_of, rules, taken, selector, out);

  std::uint32_t given = 0;
  while (missing != 0) {
    std::uint32_t const s = detail::next_missing(missing, token, rules.order);
    missing &= ~(slot_mask{1} << s);
    if ((bearable >> s & 1) == 0) {
      out[s].why = refusal::sensitivity;
    } else if (given == rules.token_budget) {
      out[s].why = refusal::token_budget;
    } else if (given == rules.window_budget) {
      out[s].why = refusal::replacement_ratio;
    } else if (stand_in const found = selector.select(token, slot_of, taken, s); !found.found) {
      out[s].why = refusal::no_stand_in;
    } else {
      std::uint16_t const served_by = found.how == resolution::buddy ? found.expert : token.experts[s];
      out[s] = {found.how, refusal::none, served_by, found.rank, found.scale_q16, 0};
      taken.insert(served_by);
      ++given;
    }
  }
  return given;
}

/// Resolves the routed slots of one token: hits end as `own`, the others as `resolve_misses` says.
/// @param out  [top_k] how each slot ends
/// @returns the number of stand-ins given
template <sensitivity_estimator Gate, buddy_selector Selector>
BUDDY_HD constexpr std::uint32_t resolve_row(token_view const& token, view<slot_id const> slot_of,
                                             row_rules const& rules, Gate const& gate, Selector const& selector,
                                             view<slot_outcome> out) noexcept {
  slot_mask missing = 0;
  for (std::uint32_t s = 0; s != token.experts.size; ++s) {
    std::uint16_t const expert = token.experts[s];
    out[s] = {resolution::own, refusal::none, expert, 0, q16_one, 0};
    if (slot_of[expert] == no_slot) missing |= slot_mask{1} << s;
  }
  return resolve_misses(token, missing, slot_of, rules, gate, selector, out);
}

}  // namespace buddy::inline v0
