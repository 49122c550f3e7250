// SPDX-License-Identifier: Apache-2.0
/// @file
/// One layer's decision on the device: what the kernels read and write, and what one warp does for one token.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/cuda/miss_queue.hpp>
#include <buddy/cuda/miss_record.hpp>
#include <buddy/cuda/warp_route.hpp>
#include <buddy/cuda/warp_select.hpp>
#include <buddy/distribution_gate.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/gate_weights.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/loss_budget.hpp>
#include <buddy/policy_config.hpp>
#include <buddy/replacement_window.hpp>
#include <buddy/resolution.hpp>
#include <buddy/resolver.hpp>
#include <buddy/router.hpp>
#include <buddy/routing.hpp>
#include <buddy/row_rules.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// What one token at one layer was given.
struct row_given {
  std::uint32_t n_stand_ins{};
  std::uint32_t loss_ub{};  ///< expected loss of these together
};

/// The arrays of one layer, in device memory. Nothing in it changes from step to step, so that a captured graph holds
/// it for good; what does change stands behind the pointers.
struct layer_arrays {
  std::uint16_t layer{};
  std::uint16_t n_experts{};
  std::uint16_t top_k{};
  std::uint32_t n_tokens{};
  std::uint32_t max_tokens{1};  ///< tokens that one step may have: the t-th token of a step is step * max_tokens + t

  slot_id const* slot_of{};     ///< [n_experts] slots of this layer's residents, `no_slot` for the rest
  std::uint64_t const* step{};  ///< [1] running number of the step, as `step_clock` counts it
  float const* logits{};        ///< [n_tokens, n_experts] of the router; null when the engine has its own top-k
  std::uint16_t* experts{};     ///< [n_tokens, top_k] chosen experts: out with logits, else in
  float* weights{};             ///< [n_tokens, top_k] gate weights: out with logits, else in
  float* scores{};              ///< [n_tokens, n_experts] router probabilities: out with logits, else in or null
  float const* hidden_norms{};  ///< [n_tokens] of the hidden state, or null
  slot_id* slots{};             ///< [n_tokens, top_k] out: where each routed slot is computed; `no_slot`: not here
  float* slot_weights{};        ///< [n_tokens, top_k] out: factor of the expert's output, 0 for a dropped slot
  slot_outcome* outcomes{};     ///< [n_tokens, top_k] out: how and why
  std::uint32_t* last_use{};    ///< [n_slots] step of the last look-up that hit the slot, low 32 bits; or null
  replacement_window_state* window{};  ///< [1] sliding window of stand-ins, all layers; null: no limit
  std::uint32_t* window_rows{};        ///< [window->rows]
  loss_budget_state* budget{};         ///< [1] of expected losses, all layers; null: no limit. For `least_loss`
  std::uint32_t* budget_rows{};        ///< [budget->rows]
  miss_ring_ref misses{};              ///< tells the host who was missing; without records nobody is told

  /// Whether what one token may have depends on the tokens before it.
  [[nodiscard]] BUDDY_HD constexpr bool links_rows() const noexcept { return window != nullptr || budget != nullptr; }
  /// What the next row may have. @returns a row's share of the rules
  [[nodiscard]] BUDDY_HD constexpr row_rules limits() const noexcept {
    row_rules rules;
    if (window != nullptr) rules.window_budget = window->left(window_rows);
    if (budget != nullptr) rules.loss = budget->left(budget_rows);
    return rules;
  }
  /// Enters the next row: by one lane.
  BUDDY_HD constexpr void push(row_given given) const noexcept {
    if (window != nullptr) window->push(window_rows, given.n_stand_ins);
    if (budget != nullptr) budget->push(budget_rows, given.loss_ub);
  }
  [[nodiscard]] BUDDY_HD constexpr view<slot_id const> residents() const noexcept { return {slot_of, n_experts}; }
  [[nodiscard]] BUDDY_HD constexpr view<float const> logits_of(std::uint32_t t) const noexcept {
    return {logits + std::uint64_t{t} * n_experts, n_experts};
  }
  [[nodiscard]] BUDDY_HD constexpr view<float> scores_of(std::uint32_t t) const noexcept {
    return scores == nullptr ? view<float>{} : view<float>{scores + std::uint64_t{t} * n_experts, n_experts};
  }
  [[nodiscard]] BUDDY_HD constexpr view<std::uint16_t const> experts_of(std::uint32_t t) const noexcept {
    return {experts + std::uint64_t{t} * top_k, top_k};
  }
  [[nodiscard]] BUDDY_HD constexpr view<float const> weights_of(std::uint32_t t) const noexcept {
    return {weights + std::uint64_t{t} * top_k, top_k};
  }
};

/// What holds for every layer and step: `policy_config` as the device reads it.
struct decision_rules {
  router_rule router{};
  bool exact{};
  resolution otherwise{resolution::fetch};  ///< how a miss without a stand-in ends
  budget_order order{budget_order::router};
  std::uint32_t token_budget{max_top_k};  ///< rho
  q16 beta_q16{never_closes};             ///< distribution gate
  weight_mode weights{weight_mode::keep};
  bool renormalise{};

  static constexpr q16 never_closes = 0xffff'ffffU;

  [[nodiscard]] BUDDY_HD constexpr bool looks_at_whole_batch() const noexcept { return beta_q16 != never_closes; }
};

static_assert(device_portable<layer_arrays> && device_portable<decision_rules>);

/// The rules of a configuration; `replacement_ratio` goes into `layer_arrays::window`.
[[nodiscard]] inline decision_rules rules_of(policy_config const& c, router_rule const& router = {}) {
  validate(c);
  decision_rules rules{.router = router,
                       .exact = c.exact,
                       .otherwise = c.on_refused,
                       .order = c.order,
                       .token_budget = c.rho,
                       .weights = c.weights,
                       .renormalise = c.renormalise};
  if (c.beta) rules.beta_q16 = static_cast<q16>(*c.beta * q16_one);  // rounded down, as on the host
  return rules;
}

/// First half for token t: routes it, if the engine has not, and enters its experts into the batch.
/// @param batch  [32] words, the set of the batch's experts; shared by its warps, zero at first
template <std::uint32_t PerLane, class Warp>
BUDDY_HD void route_row(Warp const& warp, layer_arrays const& a, decision_rules const& rules, std::uint32_t t,
                        std::uint32_t* batch) noexcept {
  if (a.logits != nullptr) {
    std::uint16_t experts[max_top_k];
    float weights[max_top_k];
    route_token<PerLane>(warp, a.logits_of(t), rules.router, {experts, a.top_k}, {weights, a.top_k}, a.scores_of(t));
    warp.each([&](std::uint32_t lane) {
      for (std::uint32_t s = lane; s < a.top_k; s += 32) {
        a.experts[std::uint64_t{t} * a.top_k + s] = experts[s];
        a.weights[std::uint64_t{t} * a.top_k + s] = weights[s];
      }
    });
    warp.sync();
  }
  if (!rules.looks_at_whole_batch()) return;
  warp.each([&](std::uint32_t lane) {
    for (std::uint32_t s = lane; s < a.top_k; s += 32) warp.set_bit(batch, a.experts_of(t)[s]);
  });
}

/// Between the halves: why no token of the batch gets a stand-in, or `none`.
template <class Warp>
[[nodiscard]] BUDDY_HD refusal closed_batch(Warp const& warp, layer_arrays const& a, decision_rules const& rules,
                                            std::uint32_t const* batch) noexcept {
  if (rules.exact) return refusal::exact_mode;
  if (!rules.looks_at_whole_batch()) return refusal::none;
  auto const count = [&](bool missing_only) {
    return warp.sum(warp.map([&](std::uint32_t lane) {
      std::uint32_t n = 0;
      for (std::uint32_t e = lane; e < a.n_experts; e += 32)
        n += (batch[e / 32] >> (e % 32) & 1U) != 0 && (!missing_only || a.slot_of[e] == no_slot) ? 1U : 0U;
      return n;
    }));
  };
  return distribution_gate_closes(count(true), count(false), rules.beta_q16) ? refusal::distribution_gate
                                                                             : refusal::none;
}

namespace detail {

/// Tells the host of each slot of a token that missed, whatever became of it: by one lane.
template <class Memory>
BUDDY_HD void tell_misses(layer_arrays const& a, view<std::uint16_t const> experts,
                          view<slot_outcome const> ends) noexcept {
  miss_record record{};
  for (std::uint32_t s = 0; s != ends.size; ++s) {
    if (ends[s].how == resolution::own) continue;
    if (record.full()) {
      append<Memory>(a.misses, record);
      record = {};
    }
    record.layer = a.layer;
    record.step = static_cast<std::uint8_t>(*a.step);
    record.push(experts[s], ends[s].how);
  }
  if (record.size != 0) append<Memory>(a.misses, record);
}

}  // namespace detail

/// Second half for token t: how each of its slots ends, where it is computed, and with which weight.
/// @param limits  what windows and budgets have left
template <class Warp, sensitivity_estimator Gate, buddy_selector Selector>
BUDDY_HD row_given resolve_row_of(Warp const& warp, layer_arrays const& a, decision_rules const& rules,
                                  Gate const& gate, Selector const& selector, refusal closed, row_rules const& limits,
                                  std::uint32_t t) noexcept {
  q16 shares[max_top_k];
  slot_outcome ends[max_top_k];
  assignment row[max_top_k];
  auto const experts = a.experts_of(t);
  auto const weights = a.weights_of(t);
  view<float const> const scores = a.scores_of(t);
  normalise(weights, {shares, a.top_k});
  token_view const token{a.layer, *a.step * a.max_tokens + t,
                         experts, {shares, a.top_k},
                         scores,  a.hidden_norms == nullptr ? unknown_norm : norm_log2_q16(a.hidden_norms[t])};
  row_rules const row_rule{closed, rules.otherwise, rules.order, rules.token_budget, limits.window_budget, limits.loss};
  slot_mask missing = 0;
  for (std::uint32_t s = 0; s != a.top_k; ++s) {
    ends[s] = {resolution::own, refusal::none, experts[s], 0, q16_one, 0};
    if (a.slot_of[experts[s]] == no_slot) missing |= slot_mask{1} << s;
  }
  missing = warp.same(missing);  // an expert may become resident meanwhile: all lanes decide from one look
  row_given given{};
  given.n_stand_ins = resolve_misses(token, missing, a.residents(), row_rule, gate,
                                     in_warp<Warp, Selector>{warp, selector}, {ends, a.top_k});
  std::uint64_t lost = 0;
  for (std::uint32_t s = 0; s != a.top_k; ++s) {
    lost += ends[s].loss_ub;
    bool const here = ends[s].how == resolution::own || ends[s].how == resolution::buddy;
    row[s] = {ends[s].expert, ends[s].how, ends[s].why, here ? a.slot_of[ends[s].expert] : no_slot, 0.0F, ends[s].rank};
  }
  assign_gate_weights(experts, weights, scores, rules.weights, rules.renormalise, {row, a.top_k}, {ends, a.top_k});
  warp.each([&](std::uint32_t lane) {
    for (std::uint32_t s = lane; s < a.top_k; s += 32) {
      std::uint64_t const i = std::uint64_t{t} * a.top_k + s;
      a.slots[i] = row[s].slot;
      a.slot_weights[i] = row[s].weight;
      a.outcomes[i] = ends[s];
      if (a.last_use != nullptr && row[s].how == resolution::own)
        a.last_use[static_cast<std::uint32_t>(row[s].slot)] = static_cast<std::uint32_t>(*a.step);
    }
  });
  if (a.misses.records != nullptr)
    warp.once([&] { detail::tell_misses<typename Warp::memory>(a, experts, {ends, a.top_k}); });
  given.loss_ub = lost < unknown_loss_ub ? static_cast<std::uint32_t>(lost) : unknown_loss_ub;
  return given;
}

}  // namespace buddy::inline v0::cuda
