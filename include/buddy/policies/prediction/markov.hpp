// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which experts usually follow the ones that the layer before was asked for.
///
/// Source: a first-order Markov chain over layers, as several engines keep it online. Differs from them: integer
/// scores, so that ties are ties.
#pragma once

#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/prediction/last_asked.hpp>
#include <buddy/policies/prediction/ranking.hpp>
#include <buddy/routing.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::prediction {

/// Ranks expert c of a layer by the sum, over the experts a that the layer before was asked for, of M(a, c) / M(a, .).
///
/// M counts how often one token went from a to c; the last layer leads to the first layer of the next step. Counting
/// pairs the tokens of two batches by position, so it needs two batches of one size. Experts that never followed are
/// not named; ties go to the lower id. A row that has counted 2^31 transitions is halved.
/// Memory: 4 bytes x n_layers x n_experts^2. Time: `observe` O(n_tokens * top_k^2), `predict` O(asked * n_experts).
class markov {
 public:
  static constexpr std::string_view name = "markov";

  /// @param max_tokens transitions of only so many tokens of a batch are counted
  /// @throws config_error when the shape is not valid
  explicit markov(model_shape const& shape, std::uint32_t max_tokens = 64)
      : shape_(shape),
        asked_(shape),
        counts_(shape.n_keys() * shape.n_experts),
        sums_(shape.n_keys()),
        scores_(shape.n_experts),
        before_(std::size_t{max_tokens} * shape.top_k) {}

  /// Starts from counts made offline; what was learnt before is forgotten.
  /// @param counts [n_layers, n_experts, n_experts]: from an expert of this layer to one of the next
  /// @throws config_error when the size does not fit the model
  void seed(view<std::uint32_t const> counts) {
    if (counts.size != counts_.size())
      detail::throw_config_error("buddy::prediction::markov: counts must be [n_layers, n_experts, n_experts]");
    std::copy(counts.begin(), counts.end(), counts_.begin());
    for (std::size_t r = 0; r != sums_.size(); ++r) {
      sums_[r] = sum(r);
      while (sums_[r] >= full) halve(r);
    }
  }

  /// Whether it was made for this model's sizes.
  [[nodiscard]] bool fits(model_shape const& shape) const noexcept { return routes_alike(shape, shape_); }

  void observe(std::uint16_t layer, routing const& r) noexcept {
    if (r.n_tokens == n_before_ && layer_before(layer) == layer_before_) count(r);
    std::size_t const kept = std::min<std::size_t>(before_.size(), r.experts.size);
    std::copy_n(r.experts.data, kept, before_.data());
    n_before_ = r.n_tokens;
    layer_before_ = layer;
    asked_.record(layer, r);
  }

  [[nodiscard]] std::uint32_t predict(std::uint16_t layer, view<std::uint16_t> out) noexcept {
    std::uint16_t const from = layer_before(layer);
    std::fill(scores_.begin(), scores_.end(), 0);
    for (std::uint16_t const a : asked_.at(from)) add_shares(shape_.index({from, a}));
    return detail::rank_above<std::uint64_t>(0, {scores_.data(), shape_.n_experts}, out);
  }

 private:
  static constexpr std::uint64_t full = std::uint64_t{1} << 31;
  static constexpr std::uint64_t one = std::uint64_t{1} << 48;  // of a score; 1024 of them fit

  [[nodiscard]] std::uint16_t layer_before(std::uint16_t layer) const noexcept {
    return static_cast<std::uint16_t>((layer == 0 ? shape_.n_layers : layer) - 1);
  }

  [[nodiscard]] std::uint32_t* row(std::size_t r) noexcept { return counts_.data() + r * shape_.n_experts; }

  [[nodiscard]] std::uint64_t sum(std::size_t r) noexcept {
    std::uint64_t total = 0;
    for (std::uint32_t c = 0; c != shape_.n_experts; ++c) total += row(r)[c];
    return total;
  }

  void halve(std::size_t r) noexcept {
    for (std::uint32_t c = 0; c != shape_.n_experts; ++c) row(r)[c] /= 2;
    sums_[r] = sum(r);
  }

  void count(routing const& r) noexcept {
    std::uint32_t const k = shape_.top_k;
    std::size_t const n = std::min<std::size_t>(before_.size(), r.experts.size);
    for (std::size_t i = 0; i != n; ++i) {
      std::size_t const from = shape_.index({layer_before_, before_[i]});
      auto const token = static_cast<std::uint32_t>(i / k * k);
      for (std::uint16_t const c : r.experts.part(token, k)) ++row(from)[c];
      sums_[from] += k;
      if (sums_[from] >= full) halve(from);
    }
  }

  void add_shares(std::size_t r) noexcept {
    if (sums_[r] == 0) return;
    std::uint64_t const unit = one / sums_[r];
    std::uint32_t const* const counts = row(r);
    for (std::uint32_t c = 0; c != shape_.n_experts; ++c) scores_[c] += counts[c] * unit;
  }

  model_shape shape_;
  detail::last_asked asked_;
  std::vector<std::uint32_t> counts_;  // [n_layers, n_experts, n_experts]
  std::vector<std::uint64_t> sums_;    // [n_layers, n_experts]
  std::vector<std::uint64_t> scores_;  // [n_experts]
  std::vector<std::uint16_t> before_;  // [max_tokens, top_k] what was observed last, token by token
  std::uint32_t n_before_{};           // tokens of it; 0 before the first
  std::uint16_t layer_before_{};
};

static_assert(expert_predictor<markov>);

}  // namespace buddy::inline v0::prediction
