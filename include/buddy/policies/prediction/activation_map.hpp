// SPDX-License-Identifier: Apache-2.0
/// @file
/// The experts that the most similar earlier text used.
///
/// Source: the expert activation matrices of MoE-Infinity, Xue et al., arXiv:2401.14361: a matrix of counts for each
/// sequence, distance 1 - mean cosine of the rows up to the present layer, a full store gives up the nearest matrix.
/// Differs from it: experts that the chosen matrix never used are not named, where the paper's 1e-8 ranks them last.
/// MoE-Infinity's code also sets the stored rows up to the present layer to a constant, which leaves the earlier
/// tokens' later rows to decide; this follows the paper.
#pragma once

#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/prediction/ranking.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::prediction {

/// Ranks the experts of a layer by their counts in the stored matrix that is nearest to the present sequence's.
///
/// A sequence's matrix is stored when the next one begins: without `begin_sequence` there is no prediction. Rows up to
/// the layer observed last are compared; an empty row is like no other. Equal distances go to the matrix stored in the
/// earlier place, equal counts to the lower id. Dot products are exact integers kept up to date, so that a prediction
/// does not read the store. Allocates at construction only.
/// Time: `observe` O(n_tokens * top_k * capacity), `predict` O(capacity * n_layers) and `rank_above`.
/// Memory: 4 bytes x (capacity + 1) x n_layers x n_experts.
class activation_map {
 public:
  static constexpr std::string_view name = "activation_map";

  /// @param capacity  matrices that are kept, at least 1
  /// @throws config_error when the shape is not valid or the capacity is 0
  explicit activation_map(model_shape const& shape, std::uint32_t capacity = 64)
      : shape_((validate(shape), shape)),
        capacity_(capacity),
        present_(shape.n_keys()),
        stored_(capacity * shape.n_keys()),
        dots_(std::size_t{capacity} * shape.n_layers),
        stored_squares_(dots_.size()),
        present_squares_(shape.n_layers) {
    if (capacity == 0) detail::throw_config_error("buddy::prediction::activation_map: capacity must be at least 1");
  }

  /// Whether it was made for this model's sizes.
  [[nodiscard]] bool fits(model_shape const& shape) const noexcept { return routes_alike(shape, shape_); }

  /// The present matrix joins the store, unless it is empty, and a new one begins.
  void begin_sequence() noexcept {
    if (!begun_) return;
    last_ = static_cast<std::uint16_t>(shape_.n_layers - 1);
    std::uint32_t const place = n_stored_ < capacity_ ? n_stored_++ : nearest();
    std::copy(present_.begin(), present_.end(), row(place, 0));
    std::copy(present_squares_.begin(), present_squares_.end(), layers_of(stored_squares_, place));
    std::fill(present_.begin(), present_.end(), 0);
    std::fill(present_squares_.begin(), present_squares_.end(), 0);
    std::fill(dots_.begin(), dots_.end(), 0);
    begun_ = false;
  }

  void observe(std::uint16_t layer, routing const& r) noexcept {
    begun_ = true;
    last_ = layer;
    for (std::uint16_t const e : r.experts) {
      std::uint32_t& count = present_[shape_.index({layer, e})];
      present_squares_[layer] += 2 * std::uint64_t{count++} + 1;
      for (std::uint32_t place = 0; place != n_stored_; ++place)
        dots_[std::size_t{place} * shape_.n_layers + layer] += row(place, layer)[e];
    }
  }

  [[nodiscard]] std::uint32_t predict(std::uint16_t layer, view<std::uint16_t> out) noexcept {
    if (n_stored_ == 0 || !begun_) return 0;
    return detail::rank_above<std::uint32_t>(0, {row(nearest(), layer), shape_.n_experts}, out);
  }

  /// How urgent a copy of this expert is beside those of other layers: (p + 1e-8) (1 - (l' - l) / (n_layers + 1)), p
  /// its share of the chosen matrix's row and l the layer observed last. 0 for a layer before l and while nothing is
  /// known.
  [[nodiscard]] double priority(expert_key k) noexcept {
    if (n_stored_ == 0 || !begun_ || k.layer < last_) return 0.0;
    std::uint32_t const* const counts = row(nearest(), k.layer);
    std::uint64_t sum = 0;
    for (std::uint32_t e = 0; e != shape_.n_experts; ++e) sum += counts[e];
    double const p = sum == 0 ? 0.0 : static_cast<double>(counts[k.expert]) / static_cast<double>(sum);
    return (p + 1e-8) * (1.0 - static_cast<double>(k.layer - last_) / (shape_.n_layers + 1.0));
  }

  /// Matrices that are kept now.
  [[nodiscard]] std::uint32_t n_stored() const noexcept { return n_stored_; }

 private:
  [[nodiscard]] std::uint32_t* row(std::uint32_t place, std::uint16_t layer) noexcept {
    return stored_.data() + place * shape_.n_keys() + shape_.index({layer, 0});
  }

  [[nodiscard]] std::uint64_t* layers_of(std::vector<std::uint64_t>& table, std::uint32_t place) const noexcept {
    return table.data() + std::size_t{place} * shape_.n_layers;
  }

  /// Cosines do not depend on whether rows are normalised; their mean over equally many rows orders as their sum.
  [[nodiscard]] double likeness(std::uint32_t place) noexcept {
    std::uint64_t const* const dots = layers_of(dots_, place);
    std::uint64_t const* const squares = layers_of(stored_squares_, place);
    double sum = 0.0;
    for (std::uint32_t l = 0; l <= last_; ++l) {
      if (dots[l] == 0) continue;
      sum += static_cast<double>(dots[l]) /
             (std::sqrt(static_cast<double>(squares[l])) * std::sqrt(static_cast<double>(present_squares_[l])));
    }
    return sum;
  }

  /// @pre n_stored_ != 0
  [[nodiscard]] std::uint32_t nearest() noexcept {
    std::uint32_t best = 0;
    double most = likeness(0);
    for (std::uint32_t place = 1; place != n_stored_; ++place) {
      double const like = likeness(place);
      if (like > most) {
        most = like;
        best = place;
      }
    }
    return best;
  }

  model_shape shape_;
  std::uint32_t capacity_;
  std::uint32_t n_stored_{};
  bool begun_{};                                // the present matrix is not empty
  std::uint16_t last_{};                        // layer observed last
  std::vector<std::uint32_t> present_;          // [n_layers, n_experts]
  std::vector<std::uint32_t> stored_;           // [capacity, n_layers, n_experts]
  std::vector<std::uint64_t> dots_;             // [capacity, n_layers] present times stored
  std::vector<std::uint64_t> stored_squares_;   // [capacity, n_layers] squared lengths of the rows
  std::vector<std::uint64_t> present_squares_;  // [n_layers]
};

static_assert(expert_predictor<activation_map>);

}  // namespace buddy::inline v0::prediction
