// SPDX-License-Identifier: Apache-2.0
/// @file
/// Collects a routing trace while a model runs.
#pragma once

#include <buddy/counters.hpp>
#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/routing_trace.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace buddy::inline v0 {

/// Fed like a `profile_builder`. Each batch holds consecutive tokens of one sequence. Allocates and throws.
class trace_recorder {
 public:
  /// @param with_weights  whether every call will bring gate weights
  /// @throws config_error when the shape is not valid
  trace_recorder(model_shape const& shape, std::string model, bool with_weights = true) : with_weights_(with_weights) {
    validate(shape);
    trace_.model = std::move(model);
    trace_.n_layers = shape.n_layers;
    trace_.n_experts = shape.n_experts;
    trace_.top_k = shape.top_k;
  }

  /// The next step belongs to another text.
  void begin_sequence() noexcept { sequence_begins_ = true; }

  /// Room for the tokens of one forward pass; layers that are not recorded stay without a record.
  /// @throws config_error when there is no token
  void begin_step(std::uint32_t n_tokens, phase p = phase::decode) {
    if (n_tokens == 0) detail::throw_config_error("buddy::trace_recorder: a step needs at least one token");
    if (sequence_begins_) trace_.sequence_lengths.push_back(0);
    sequence_begins_ = false;
    trace_.sequence_lengths.back() += n_tokens;
    step_begins_ = trace_.n_tokens();
    std::size_t const slots = trace_.experts.size() + std::size_t{n_tokens} * trace_.n_layers * trace_.top_k;
    trace_.experts.resize(slots, no_expert);
    if (with_weights_) trace_.weights.resize(slots, 0.0F);
    trace_.phases.resize(trace_.phases.size() + n_tokens, p);
  }

  /// @param r  the step's tokens at one layer; slots in any order, kept by falling weight
  /// @throws config_error when sizes, ids or weights are not possible
  void record(std::uint16_t layer, routing const& r) {
    require_valid(layer, r);
    std::vector<std::uint32_t> order(trace_.top_k);
    for (std::uint32_t t = 0; t != r.n_tokens; ++t) {
      std::uint32_t const first = t * trace_.top_k;
      std::iota(order.begin(), order.end(), first);
      if (with_weights_)
        std::stable_sort(order.begin(), order.end(),
                         [&](std::uint32_t a, std::uint32_t b) { return r.weights[a] > r.weights[b]; });
      std::size_t const at = ((step_begins_ + t) * trace_.n_layers + layer) * trace_.top_k;
      for (std::size_t s = 0; s != order.size(); ++s) {
        trace_.experts[at + s] = r.experts[order[s]];
        if (with_weights_) trace_.weights[at + s] = r.weights[order[s]];
      }
    }
  }

  /// What was recorded so far; `source` and `licence` are the caller's to fill in.
  [[nodiscard]] routing_trace const& trace() const noexcept { return trace_; }

 private:
  void require_valid(std::uint16_t layer, routing const& r) const {
    if (layer >= trace_.n_layers) detail::throw_config_error("buddy::trace_recorder: no such layer");
    if (trace_.sequence_lengths.empty() || r.n_tokens != trace_.n_tokens() - step_begins_)
      detail::throw_config_error("buddy::trace_recorder: the batch must have the tokens of the step");
    std::size_t const slots = std::size_t{r.n_tokens} * trace_.top_k;
    if (r.experts.size != slots || (with_weights_ && r.weights.size != slots))
      detail::throw_config_error("buddy::trace_recorder: experts and weights must be [n_tokens, top_k]");
    if (with_weights_ &&
        !std::all_of(r.weights.begin(), r.weights.end(), [](float w) { return std::isfinite(w) && w >= 0.0F; }))
      detail::throw_config_error("buddy::trace_recorder: gate weights must be finite and at least 0");
    for (std::uint32_t i = 0; i != r.experts.size; ++i) {
      if (r.experts[i] >= trace_.n_experts)
        detail::throw_config_error("buddy::trace_recorder: expert ids must be below n_experts");
      for (std::uint32_t j = i / trace_.top_k * trace_.top_k; j != i; ++j)
        if (r.experts[i] == r.experts[j])
          detail::throw_config_error("buddy::trace_recorder: a token's experts must be distinct");
    }
  }

  routing_trace trace_;
  bool with_weights_;
  bool sequence_begins_ = true;
  std::size_t step_begins_ = 0;  // first token of the step
};

}  // namespace buddy::inline v0
