// SPDX-License-Identifier: Apache-2.0
/// @file
/// A routing trace that hits like one we do not have: made from hit rates alone.
///
/// Source: drawing stack depths is the textbook way to make references with a given LRU curve (Mattson et al., 1970,
/// read backwards); fixed-size sampling with given inclusion probabilities is Madow's systematic sampling (1949) over a
/// random order. Differs from them: a token draws top_k depths at once, all different.
#pragma once

#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/reuse_distances.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace buddy::inline v0::testing {

/// [n_experts + 1] shares of the look-ups that fall at a depth of at most 0, 1, ...: what an LRU pool of so many slots
/// hits, from top_k slots on.
/// @param histogram  `reuse_distances::histogram`
[[nodiscard]] inline std::vector<double> rates_of(view<std::uint64_t const> histogram) {
  std::uint64_t const all = std::accumulate(histogram.begin(), histogram.end(), std::uint64_t{0});
  std::vector<double> rates(histogram.size);
  std::uint64_t sum = 0;
  for (std::uint32_t d = 1; d < histogram.size; ++d) {
    sum += histogram[d];
    rates[d] = all == 0 ? 0.0 : static_cast<double>(sum) / static_cast<double>(all);
  }
  return rates;
}

/// A point of a published curve.
struct curve_point {
  std::uint32_t slots{};
  double rate{};
};

/// Straight lines from (0, 0) through the points; flat after the last.
/// @throws config_error when the points do not rise, or a rate is not in [0, 1]
[[nodiscard]] inline std::vector<double> rates_through(view<curve_point const> points, std::uint32_t n_experts) {
  std::vector<double> rates{0.0};
  curve_point from{};
  for (auto const& to : points) {
    if (to.slots <= from.slots || !(to.rate >= from.rate && to.rate <= 1.0))
      buddy::detail::throw_config_error("buddy::testing::rates_through: points must rise, with rates in [0, 1]");
    for (std::uint32_t c = from.slots + 1; c <= std::min(to.slots, n_experts); ++c)
      rates.push_back(from.rate + (to.rate - from.rate) * (c - from.slots) / (to.slots - from.slots));
    from = to;
  }
  rates.resize(std::size_t{n_experts} + 1, from.rate);
  return rates;
}

/// How often a token uses each depth.
///
/// A look-up is at depth d with probability rates[d] - rates[d - 1]; a token makes top_k, none at the depth of another,
/// so it uses depth d with probability top_k times that, which cannot be above 1. What is above goes to the next depth;
/// what the curve leaves (look-ups that no pool hits) goes to the deepest, where the experts never used so far are.
/// @param rates  [n_experts + 1]
/// @returns [n_experts] for depths 1, 2, ...; they add up to top_k
/// @throws config_error when the sizes differ or the rates do not rise within [0, 1]
[[nodiscard]] inline std::vector<double> depth_use(std::vector<double> const& rates, model_shape const& shape) {
  validate(shape);
  if (rates.size() != std::size_t{shape.n_experts} + 1)
    buddy::detail::throw_config_error("buddy::testing::depth_use: rates must be [n_experts + 1]");
  if (!std::is_sorted(rates.begin(), rates.end()) || !(rates.front() >= 0.0 && rates.back() <= 1.0))
    buddy::detail::throw_config_error("buddy::testing::depth_use: rates must rise within [0, 1]");
  std::vector<double> use(shape.n_experts);
  double over = 0.0;
  for (std::size_t d = 0; d != use.size(); ++d) {
    double const wanted = shape.top_k * (rates[d + 1] - rates[d]) + over;
    use[d] = std::min(1.0, wanted);
    over = wanted - use[d];
  }
  over = shape.top_k - std::accumulate(use.begin(), use.end(), 0.0);
  for (std::size_t d = use.size(); d-- != 0 && over > 0.0;) {
    double const room = std::min(1.0 - use[d], over);
    use[d] += room;
    over -= room;
  }
  return use;
}

/// Experts of one layer, token after token.
///
/// All experts stand in a list, the one used last in front; a token draws depths, takes who stands there, and moves
/// them to the front, the later slot first. The depths are a systematic sample: they are laid end to end in random
/// order, each as long as its use, and every mark u, u + 1, ... picks the one that it falls on; u is uniform in [0, 1).
/// A depth no longer than 1 is picked at most once, and with just the probability that is its length, whatever was
/// drawn before. So in every token the expected number of depths <= c is top_k rates[c]: the share of look-ups that LRU
/// with c slots hits has the mean rates[c], and tokens are independent, so that N of them miss it by more than t with
/// probability at most 2 exp(-2 N t^2) (Hoeffding). Only look-ups of experts never used before, at most n_experts of
/// them, miss in a cold cache wherever they stand.
class layer_generator {
 public:
  /// @param use  [n_experts] from `depth_use`
  layer_generator(std::vector<double> use, std::uint32_t top_k, std::uint64_t seed)
      : use_(std::move(use)), list_(use_.size()), order_(use_.size()), top_k_(top_k), dice_(seed) {
    std::iota(list_.begin(), list_.end(), std::uint16_t{0});
    std::iota(order_.begin(), order_.end(), std::uint16_t{0});
    shuffle(list_);
  }

  /// Appends top_k ids in random order.
  void draw(std::vector<std::uint16_t>& out) {
    shuffle(order_);
    std::vector<std::uint16_t> depths;
    double const u = static_cast<double>(dice_.next() >> 11) * 0x1p-53;
    double end = 0.0;
    for (std::uint16_t const d : order_) {
      end += use_[d];
      if (depths.size() != top_k_ && u + static_cast<double>(depths.size()) < end) depths.push_back(d);
    }
    // The sum of the lengths may end a rounding error before the last mark.
    for (std::uint16_t d = 0; depths.size() != top_k_; ++d)
      if (std::find(depths.begin(), depths.end(), d) == depths.end()) depths.push_back(d);
    std::vector<std::uint16_t> asked;
    for (std::uint16_t const d : depths) asked.push_back(list_[d]);
    std::erase_if(list_, [&](std::uint16_t e) { return std::find(asked.begin(), asked.end(), e) != asked.end(); });
    list_.insert(list_.begin(), asked.rbegin(), asked.rend());
    out.insert(out.end(), asked.begin(), asked.end());
  }

 private:
  void shuffle(std::vector<std::uint16_t>& ids) {
    for (std::size_t i = ids.size(); i > 1; --i) std::swap(ids[i - 1], ids[dice_.roll(i)]);
  }

  std::vector<double> use_;           // [n_experts] by depth - 1
  std::vector<std::uint16_t> list_;   // [n_experts] the one used last in front
  std::vector<std::uint16_t> order_;  // [n_experts] depths - 1
  std::size_t top_k_;
  dice dice_;
};

/// A trace of one sequence whose layers hit like the curves; the layers know nothing of each other. Gate weights fall
/// evenly: top_k, ..., 2, 1 by their sum.
/// @param rates  one curve for all layers, or [n_layers] curves, each [n_experts + 1]
/// @throws config_error as `depth_use`, or when there are as many curves as neither
[[nodiscard]] inline routing_trace trace_from_curves(model_shape const& shape,
                                                     std::vector<std::vector<double>> const& rates,
                                                     std::uint32_t n_tokens, std::uint64_t seed) {
  validate(shape);
  if (rates.size() != 1 && rates.size() != shape.n_layers)
    buddy::detail::throw_config_error("buddy::testing::trace_from_curves: there must be one curve, or one a layer");
  std::vector<layer_generator> layers;
  for (std::uint32_t l = 0; l != shape.n_layers; ++l)
    layers.emplace_back(depth_use(rates[rates.size() == 1 ? 0 : l], shape), shape.top_k,
                        splitmix64(seed ^ splitmix64(l)));
  routing_trace trace;
  trace.n_layers = shape.n_layers, trace.n_experts = shape.n_experts, trace.top_k = shape.top_k;
  trace.sequence_lengths = {n_tokens};
  float const sum = static_cast<float>(shape.top_k * (shape.top_k + 1)) / 2.0F;
  for (std::uint32_t t = 0; t != n_tokens; ++t) {
    for (auto& layer : layers) {
      layer.draw(trace.experts);
      for (std::uint32_t s = 0; s != shape.top_k; ++s)
        trace.weights.push_back(static_cast<float>(shape.top_k - s) / sum);
    }
  }
  return trace;
}

}  // namespace buddy::inline v0::testing
