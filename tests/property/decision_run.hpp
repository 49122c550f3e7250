// SPDX-License-Identifier: Apache-2.0
// A layer's decision as a block of warps makes it, on the host.
#pragma once

#include "property/random_routing.hpp"

#include <buddy/cuda/emulated_warp.hpp>
#include <buddy/cuda/layer_decision.hpp>
#include <buddy/model_shape.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

/// The arrays of one layer in host memory.
struct decision_arrays {
  decision_arrays(buddy::model_shape const& model, std::uint32_t tokens)
      : shape(model),
        n_tokens(tokens),
        slot_of(model.n_experts, buddy::no_slot),
        logits(std::size_t{tokens} * model.n_experts),
        experts(std::size_t{tokens} * model.top_k),
        weights(experts.size()),
        scores(logits.size()),
        slots(experts.size(), buddy::slot_id{77'777}),  // nobody may leave them as they are
        slot_weights(experts.size(), -7.0F),
        outcomes(experts.size(), {buddy::resolution::surrogate}),
        last_use(model.n_experts, 0),
        window_rows(1) {}

  /// The engine's own top-k.
  void take(buddy::routing const& r) {
    std::copy(r.experts.begin(), r.experts.end(), experts.begin());
    std::copy(r.weights.begin(), r.weights.end(), weights.begin());
    std::copy(r.scores.begin(), r.scores.end(), scores.begin());
  }

  void limit(double ratio, std::uint32_t rows) {
    window.ratio_q32 = static_cast<std::uint64_t>(ratio * 0x1p32);
    window.top_k = shape.top_k;
    window.rows = rows;
    window_rows.assign(rows, 0);
    has_window = true;
  }

  /// Starts where the policy's budget starts.
  void limit(buddy::loss_budget const& of) {
    budget = of.state();
    budget_rows.assign(budget.rows, 0);
  }

  [[nodiscard]] buddy::cuda::layer_arrays arrays(std::uint16_t layer, bool with_logits = false) {
    return {.layer = layer,
            .n_experts = shape.n_experts,
            .top_k = shape.top_k,
            .n_tokens = n_tokens,
            .max_tokens = n_tokens,
            .slot_of = slot_of.data(),
            .step = &step,
            .logits = with_logits ? logits.data() : nullptr,
            .experts = experts.data(),
            .weights = weights.data(),
            .scores = scores.data(),
            .slots = slots.data(),
            .slot_weights = slot_weights.data(),
            .outcomes = outcomes.data(),
            .last_use = last_use.data(),
            .window = has_window ? &window : nullptr,
            .window_rows = window_rows.data(),
            .budget = budget_rows.empty() ? nullptr : &budget,
            .budget_rows = budget_rows.data()};
  }

  buddy::model_shape shape;
  std::uint32_t n_tokens;
  std::uint64_t step = 0;
  std::vector<buddy::slot_id> slot_of;
  std::vector<float> logits;
  std::vector<std::uint16_t> experts;
  std::vector<float> weights;
  std::vector<float> scores;
  std::vector<buddy::slot_id> slots;
  std::vector<float> slot_weights;
  std::vector<buddy::slot_outcome> outcomes;
  std::vector<std::uint32_t> last_use;
  buddy::replacement_window_state window;
  std::vector<std::uint32_t> window_rows;
  buddy::loss_budget_state budget;
  std::vector<std::uint32_t> budget_rows;
  bool has_window = false;
};

/// What `cuda::decide` does, warp after warp.
template <class Gate, class Selector>
void emulate_decide(buddy::cuda::layer_arrays const& a, buddy::cuda::decision_rules const& rules, Gate const& gate,
                    Selector const& selector) {
  buddy::cuda::emulated_warp const warp;
  std::array<std::uint32_t, 32> batch{};
  for (std::uint32_t t = 0; t != a.n_tokens; ++t) buddy::cuda::route_row<32>(warp, a, rules, t, batch.data());
  auto const closed = buddy::cuda::closed_batch(warp, a, rules, batch.data());
  for (std::uint32_t t = 0; t != a.n_tokens; ++t) {
    a.push(buddy::cuda::resolve_row_of(warp, a, rules, gate, selector, closed, a.limits(), t));
  }
}

inline bool same(buddy::slot_outcome const& a, buddy::slot_outcome const& b) {
  return a.how == b.how && a.why == b.why && a.expert == b.expert && a.rank == b.rank && a.scale_q16 == b.scale_q16;
}
