// SPDX-License-Identifier: Apache-2.0
/// @file
/// The factor of each routed slot's output once the token is resolved.
#pragma once

#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/float_order.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/policy_config.hpp>
#include <buddy/resolver.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0 {

namespace detail {

/// Weight of one slot that was not resident, before any renormalisation.
/// @param a        the slot, whose weight is the router's; adjusted
/// @param scale    of the stand-in's output
/// @returns whether the weight is another now
BUDDY_HD inline bool adjust_gate_weight(assignment& a, std::uint16_t missing, q16 scale, view<float const> scores,
                                        weight_mode mode) noexcept {
  bool changed = false;
  if (a.how == resolution::drop) {
    a.weight = 0.0F;
    changed = true;
  } else if (a.how == resolution::buddy && mode == weight_mode::own && !scores.empty()) {
    float const of_missing = scores[missing];
    a.weight = of_missing > 0.0F ? product(scores[a.expert], quotient(a.weight, of_missing)) : 0.0F;
    changed = true;
  }
  if (scale != q16_one) {
    a.weight = product(a.weight, static_cast<float>(scale) / 65536.0F);
    changed = true;
  }
  return changed;
}

/// Scales a token's weights so that they add up to the router's again, where there is anything to scale.
BUDDY_HD inline void restore_weight_sum(view<float const> weights, view<assignment> row) noexcept {
  float before = 0.0F;
  float after = 0.0F;
  for (std::uint32_t s = 0; s != row.size; ++s) {
    before += weights[s];
    after += row[s].weight;
  }
  if (!(after > 0.0F)) return;
  float const factor = quotient(before, after);
  for (assignment& slot : row) slot.weight = product(slot.weight, factor);
}

/// Writes how the missing slots of one token ended, and their weights. @param row  [top_k] all hits so far
inline void write_row(token_view const& token, view<float const> weights, slot_mask missing,
                      view<slot_outcome const> ends, view<slot_id const> slot_of, policy_config const& config,
                      view<assignment> row) noexcept {
  bool changed = false;
  for (slot_mask left = missing; left != 0; left &= left - 1) {
    std::uint32_t const s = first_slot(left);
    slot_id const slot = ends[s].how == resolution::buddy ? slot_of[ends[s].expert] : no_slot;
    row[s] = {ends[s].expert, ends[s].how, ends[s].why, slot, weights[s], ends[s].rank};
    changed |= adjust_gate_weight(row[s], token.experts[s], ends[s].scale_q16, token.scores, config.weights);
  }
  if (changed && config.renormalise) restore_weight_sum(weights, row);
}

}  // namespace detail

/// Writes `assignment::weight` for one token.
///
/// Hits keep their weight. A buddy gets the missing expert's (`keep`) or its own, brought to the scale of the model's
/// gate weights by weight / score of the slot it serves (`own`). A dropped slot gets 0. A stand-in's weight is then
/// multiplied with its scale; a scale of exactly 1 leaves every bit as it is. With `renormalise`, a token that lost or
/// changed weight is scaled back to the sum it had.
/// @param weights  [top_k] the router's gate weights
/// @param scores   [n_experts] router probabilities; may be empty with `keep`
/// @param row      [top_k] resolved slots, weights out
/// @param ends     [top_k] how the resolver ended the slots: their scales; empty: all are 1
BUDDY_HD inline void assign_gate_weights(view<std::uint16_t const> experts, view<float const> weights,
                                         view<float const> scores, weight_mode mode, bool renormalise,
                                         view<assignment> row, view<slot_outcome const> ends = {}) noexcept {
  bool changed = false;
  for (std::uint32_t s = 0; s != row.size; ++s) {
    row[s].weight = weights[s];
    q16 const scale = ends.empty() ? q16_one : ends[s].scale_q16;
    changed |= detail::adjust_gate_weight(row[s], experts[s], scale, scores, mode);
  }
  if (renormalise && changed) detail::restore_weight_sum(weights, row);
}

}  // namespace buddy::inline v0
