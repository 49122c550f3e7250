// SPDX-License-Identifier: Apache-2.0
/// @file
/// A predictor of any recall: what prediction could be worth at most, or at 90 %.
///
/// Source: the "oracle next layer" that offloading studies compare with. Differs from it: a share of the experts is
/// wrong, which separates what a predictor is worth from how it is used. A bound for replays, like `eviction::belady`;
/// no engine knows the future.
#pragma once

#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/error.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/splitmix64.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::prediction {

/// Names the experts of the layer's next token in the trace; each is, with probability 1 - recall, a wrong one instead.
///
/// The trace must be the one that is replayed, from its first token, layers without a record left out: it is read by
/// counting the tokens of each layer. Of a batch it names the first token's experts. Names at most top_k experts; a
/// wrong one is left out where the layer has no unnamed wrong expert. Which ones are wrong depends on the seed, the
/// token, the layer and the slot only. Time O(n_experts * top_k).
class oracle {
 public:
  static constexpr std::string_view name = "oracle";

  /// @param trace   must outlive this
  /// @param recall  in [0, 1]
  /// @throws config_error when recall is out of range
  oracle(routing_trace const& trace, double recall, std::uint64_t seed = 1)
      : trace_(&trace), seed_(seed), next_(trace.n_layers) {
    if (!(recall >= 0.0 && recall <= 1.0))
      detail::throw_config_error("buddy::prediction::oracle: recall must be in [0, 1]");
    right_ = static_cast<std::uint64_t>(recall * 4294967296.0);
    for (std::uint16_t l = 0; l != trace.n_layers; ++l) skip_gaps(l);
  }
  oracle(routing_trace const&&, double, std::uint64_t = 1) = delete;

  /// Whether the trace is of a model of these sizes.
  [[nodiscard]] bool fits(model_shape const& shape) const noexcept { return routes_alike(shape, trace_->shape(1)); }

  void observe(std::uint16_t layer, routing const& r) noexcept {
    for (std::uint32_t t = 0; t != r.n_tokens && next_[layer] < trace_->n_tokens(); ++t) {
      ++next_[layer];
      skip_gaps(layer);
    }
  }

  [[nodiscard]] std::uint32_t predict(std::uint16_t layer, view<std::uint16_t> out) noexcept {
    std::size_t const token = next_[layer];
    if (token >= trace_->n_tokens()) return 0;
    auto const asked = trace_->at(token, layer).experts;
    expert_set taken(trace_->n_experts);
    for (std::uint16_t const e : asked) taken.insert(e);
    std::uint32_t free = trace_->n_experts - asked.size;
    std::uint32_t n = 0;
    for (std::uint32_t s = 0; s != asked.size && n != out.size; ++s) {
      std::uint64_t const bits = splitmix64(seed_ ^ splitmix64((token * trace_->n_layers + layer) * asked.size + s));
      if ((bits >> 32) < right_) {
        out[n++] = asked[s];
      } else if (free != 0) {
        out[n] = absent(taken, below(splitmix64(bits), free--));
        taken.insert(out[n++]);
      }
    }
    return n;
  }

 private:
  void skip_gaps(std::uint16_t layer) noexcept {
    std::size_t& token = next_[layer];
    while (token < trace_->n_tokens() && !trace_->has_record(token, layer)) ++token;
  }

  /// The expert outside the set that `rank` others come before. @pre there is one
  static std::uint16_t absent(expert_set const& taken, std::uint32_t rank) noexcept {
    std::uint16_t e = 0;
    for (; taken.contains(e) || rank != 0; ++e) rank -= taken.contains(e) ? 0 : 1;
    return e;
  }

  routing_trace const* trace_;
  std::uint64_t seed_;
  std::uint64_t right_{};          // of 2^32
  std::vector<std::size_t> next_;  // [n_layers] token of the layer's next run
};

static_assert(expert_predictor<oracle>);

}  // namespace buddy::inline v0::prediction
