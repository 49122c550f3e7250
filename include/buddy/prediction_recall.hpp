// SPDX-License-Identifier: Apache-2.0
/// @file
/// How good a predictor is: the share of the experts really asked for that it had named.
#pragma once

#include <buddy/expert_set.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// How many of the predicted experts count: the best top_k, 2 top_k or 4 top_k.
enum class recall_budget : std::uint8_t { top_k, twice, four_times };

inline constexpr std::size_t n_recall_budgets = 3;

/// Exact sums, so that those of layers and of runs add up.
struct recall_counts {
  std::uint64_t slots{};                                  ///< routed slots
  std::array<std::uint64_t, n_recall_budgets> found{};    ///< of them, those whose expert was named, by budget
  std::uint64_t mass{};                                   ///< sum of the slots' gate shares, Q16; 0 without weights
  std::array<std::uint64_t, n_recall_budgets> in_mass{};  ///< of them, those whose expert was named

  /// In [0, 1]; 0 when nothing was counted.
  [[nodiscard]] double recall(recall_budget b) const noexcept { return share(found[index(b)], slots); }

  /// The same with each slot weighed by its share of the token's gate weights.
  [[nodiscard]] double mass_recall(recall_budget b) const noexcept { return share(in_mass[index(b)], mass); }

  recall_counts& operator+=(recall_counts const& other) noexcept {
    slots += other.slots;
    mass += other.mass;
    for (std::size_t b = 0; b != n_recall_budgets; ++b) {
      found[b] += other.found[b];
      in_mass[b] += other.in_mass[b];
    }
    return *this;
  }

  bool operator==(recall_counts const&) const = default;

 private:
  static std::size_t index(recall_budget b) noexcept { return static_cast<std::size_t>(b); }
  static double share(std::uint64_t part, std::uint64_t whole) noexcept {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  }
};

/// Compares predictions with what the router then chose, layer by layer.
///
/// @code
/// std::uint32_t const n = predictor.predict(layer, {list.data(), recall.width()});  // before the layer is observed
/// recall.count(layer, {list.data(), n}, routing);
/// predictor.observe(layer, routing);
/// @endcode
class prediction_recall {
 public:
  /// @throws config_error when the shape is not valid
  explicit prediction_recall(model_shape const& shape) : shape_((validate(shape), shape)), layers_(shape.n_layers) {}

  /// Experts of the largest budget: a longer prediction is of no use here.
  [[nodiscard]] std::uint32_t width() const noexcept {
    return std::min<std::uint32_t>(4U * shape_.top_k, shape_.n_experts);
  }

  /// A budget is for the whole batch, whose slots count one by one. Time O(predicted + n_tokens * top_k).
  /// @param predicted  what was said of the layer before the router spoke, best first
  void count(std::uint16_t layer, view<std::uint16_t const> predicted, routing const& r) noexcept {
    recall_counts& sum = layers_[layer];
    sum.slots += r.experts.size;
    if (!r.weights.empty()) sum.mass += mass_of(r, nullptr);
    for (std::size_t b = 0; b != n_recall_budgets; ++b) {
      expert_set named(shape_.n_experts);
      std::uint32_t const budget = std::min(predicted.size, std::uint32_t{shape_.top_k} << b);
      for (std::uint16_t const e : predicted.part(0, budget)) named.insert(e);
      for (std::uint16_t const e : r.experts) sum.found[b] += named.contains(e) ? 1 : 0;
      if (!r.weights.empty()) sum.in_mass[b] += mass_of(r, &named);
    }
  }

  [[nodiscard]] recall_counts const& of_layer(std::uint16_t layer) const noexcept { return layers_[layer]; }

  /// Sum over the layers.
  [[nodiscard]] recall_counts total() const noexcept {
    recall_counts sum;
    for (recall_counts const& layer : layers_) sum += layer;
    return sum;
  }

 private:
  /// Gate shares of the slots whose expert is in the set, or of all.
  [[nodiscard]] std::uint64_t mass_of(routing const& r, expert_set const* named) const noexcept {
    std::uint32_t const k = shape_.top_k;
    q16 shares[max_top_k];
    std::uint64_t sum = 0;
    for (std::uint32_t t = 0; t != r.n_tokens; ++t) {
      normalise(r.weights.part(t * k, k), {shares, k});
      for (std::uint32_t s = 0; s != k; ++s)
        if (named == nullptr || named->contains(r.experts[t * k + s])) sum += shares[s];
    }
    return sum;
  }

  model_shape shape_;
  std::vector<recall_counts> layers_;  // [n_layers]
};

}  // namespace buddy::inline v0
