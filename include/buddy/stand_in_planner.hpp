// SPDX-License-Identifier: Apache-2.0
/// @file
/// How many bytes of a layer go to slots and how many to stand-ins, and to which.
#pragma once

#include <buddy/byte_split.hpp>
#include <buddy/error.hpp>
#include <buddy/expected_error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace buddy::inline v0 {

/// A kind of stand-in that a plan may choose for a layer.
struct stand_in_offer {
  std::uint64_t record_bytes{};  ///< for each expert of the layer
  expected_error_ref losses{};
};

struct planned_layer {
  std::uint32_t offer{};  ///< which of the offers
  std::uint32_t slots{};
};

struct stand_in_plan {
  std::vector<planned_layer> layers;
  std::uint64_t bytes{};   ///< slots and stand-ins together
  double loss_bits{};      ///< expected for a token
  double fetched_share{};  ///< of routed slots
  bool is_exact{};         ///< see `split_bytes`
};

/// Plans from what a routing trace asks for, with LRU caches into which every missed expert enters.
///
/// One pass finds for each routed slot how many slots its layer would have needed for a hit, so that every split is
/// known from it. Time O(tokens x layers x top_k x (n_experts + offers)).
class stand_in_planner {
 public:
  /// @throws config_error when there is no offer, or one does not fit the shape
  stand_in_planner(model_shape const& shape, std::vector<stand_in_offer> offers)
      : shape_{shape}, offers_{std::move(offers)}, layers_(shape.n_layers) {
    if (offers_.empty()) detail::throw_config_error("buddy::stand_in_planner: needs at least one offer");
    for (stand_in_offer const& o : offers_)
      if (!o.losses.fits(shape)) detail::throw_config_error("buddy::stand_in_planner: losses of another model");
  }

  /// @throws config_error when the trace is of another model or has no weights
  void observe(routing_trace const& trace) {
    if (!routes_alike(trace.shape(1), {shape_.n_layers, shape_.n_experts, shape_.top_k, 1}))
      detail::throw_config_error("buddy::stand_in_planner: the trace is of another model");
    if (trace.weights.empty()) detail::throw_config_error("buddy::stand_in_planner: the trace has no gate weights");
    for (std::size_t t = 0; t != trace.n_tokens(); ++t) {
      for (std::uint16_t l = 0; l != shape_.n_layers; ++l)
        if (trace.has_record(t, l)) observe(l, trace.at(t, l));
    }
    n_tokens_ += trace.n_tokens();
  }

  /// @param bytes      of fast memory, slots and stand-ins together
  /// @param fetched    largest share of routed slots that may be fetched: those that would lose most
  /// @param least      slots that every layer gets, at least 1
  /// @throws config_error when even the least does not fit, or nothing was observed
  [[nodiscard]] stand_in_plan plan(std::uint64_t bytes, double fetched = 0.0, std::uint32_t least = 1) const {
    if (n_tokens_ == 0) detail::throw_config_error("buddy::stand_in_planner: plan needs a trace that was observed");
    if (!(fetched > 0.0)) return plan_at(bytes, ~std::uint64_t{0}, least);
    std::uint64_t low = 0;  // fetches everything that is lost
    std::uint64_t high = std::uint64_t{1} << 33;
    stand_in_plan best = plan_at(bytes, high, least);
    while (low < high) {
      std::uint64_t const limit = low + (high - low) / 2;
      stand_in_plan const p = plan_at(bytes, limit, least);
      if (p.fetched_share <= fetched) {
        best = p;
        high = limit;
      } else {
        low = limit + 1;
      }
    }
    return best;
  }

 private:
  struct layer_demand {
    std::vector<std::uint16_t> stack;   // most recent first
    std::vector<std::uint16_t> depth;   // [asked] place in the stack, n_experts when it was not there
    std::vector<std::uint64_t> losses;  // [asked, offers] micro-bits
  };

  void observe(std::uint16_t l, routing const& r) {
    layer_demand& to = layers_[l];
    std::array<q16, max_top_k> shares{};
    normalise(r.weights, {shares.data(), r.weights.size});
    for (std::uint32_t s = 0; s != r.experts.size; ++s) {
      std::uint16_t const e = r.experts[s];
      auto const at = std::find(to.stack.begin(), to.stack.end(), e);
      to.depth.push_back(at == to.stack.end() ? shape_.n_experts : static_cast<std::uint16_t>(at - to.stack.begin()));
      for (stand_in_offer const& o : offers_)
        to.losses.push_back(loss_ub(o.losses.stand_in_of({l, e}).full_loss_ub, shares[s]));
    }
    for (std::uint32_t s = 0; s != r.experts.size; ++s) {  // hits are judged before the token changes the stack
      auto const at = std::find(to.stack.begin(), to.stack.end(), r.experts[s]);
      if (at != to.stack.end()) to.stack.erase(at);
      to.stack.insert(to.stack.begin(), r.experts[s]);
    }
  }

  /// Sums over the misses of a layer of n slots.
  struct missed {
    double loss{};  // of those within the limit
    double fetched{};
  };

  /// [n_experts + 1] for 0 slots to all.
  [[nodiscard]] std::vector<missed> by_slots(layer_demand const& d, std::size_t offer, std::uint64_t limit) const {
    std::vector<missed> sums(shape_.n_experts + std::size_t{1});
    for (std::size_t i = 0; i != d.depth.size(); ++i) {
      std::uint64_t const loss = d.losses[i * offers_.size() + offer];
      missed& to = sums[d.depth[i]];
      (loss > limit ? to.fetched : to.loss) += loss > limit ? 1.0 : static_cast<double>(loss);
    }
    for (std::size_t n = sums.size() - 1; n-- != 0;) {  // fewer slots miss all that more slots miss
      sums[n].loss += sums[n + 1].loss;
      sums[n].fetched += sums[n + 1].fetched;
    }
    return sums;
  }

  [[nodiscard]] stand_in_plan plan_at(std::uint64_t bytes, std::uint64_t limit, std::uint32_t least) const {
    std::size_t const stride = shape_.n_experts + std::size_t{1};
    std::vector<std::vector<byte_choice>> choices(shape_.n_layers);
    std::vector<std::vector<missed>> sums;  // [layers x offers]
    for (std::size_t l = 0; l != shape_.n_layers; ++l) {
      for (std::size_t o = 0; o != offers_.size(); ++o) {
        sums.push_back(by_slots(layers_[l], o, limit));
        for (std::uint32_t n = std::max(1U, least); n != stride; ++n)
          choices[l].push_back({n * shape_.expert_bytes + shape_.n_experts * offers_[o].record_bytes,
                                sums.back()[n].loss, static_cast<std::uint32_t>(o * stride + n)});
      }
    }
    byte_split const split = split_bytes(std::move(choices), bytes);
    stand_in_plan p{{}, split.bytes, split.loss / micro_bits / static_cast<double>(n_tokens_), 0.0, split.is_exact};
    double fetched = 0.0;
    for (std::size_t l = 0; l != shape_.n_layers; ++l) {
      planned_layer const chosen{static_cast<std::uint32_t>(split.ids[l] / stride),
                                 static_cast<std::uint32_t>(split.ids[l] % stride)};
      fetched += sums[l * offers_.size() + chosen.offer][chosen.slots].fetched;
      p.layers.push_back(chosen);
    }
    p.fetched_share = fetched / static_cast<double>(n_tokens_ * shape_.n_layers * shape_.top_k);
    return p;
  }

  model_shape shape_;
  std::vector<stand_in_offer> offers_;
  std::vector<layer_demand> layers_;
  std::size_t n_tokens_{};
};

}  // namespace buddy::inline v0
