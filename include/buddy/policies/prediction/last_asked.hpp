// SPDX-License-Identifier: Apache-2.0
/// @file
/// The experts that each layer was asked for when it last ran: what several predictors start from.
#pragma once

#include <buddy/expert_set.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0::detail {

/// One list a layer: distinct experts in routed order over the batch. Memory: 2 bytes an expert.
class last_asked {
 public:
  /// @throws config_error when the shape is not valid
  explicit last_asked(model_shape const& shape)
      : n_experts_(checked(shape).n_experts), experts_(shape.n_keys()), counts_(shape.n_layers) {}

  [[nodiscard]] bool fits(model_shape const& shape) const noexcept {
    return n_experts_ == shape.n_experts && counts_.size() == shape.n_layers;
  }

  /// Time O(n_tokens * top_k).
  void record(std::uint16_t layer, routing const& r) noexcept {
    expert_set seen(n_experts_);
    std::uint16_t n = 0;
    for (std::uint16_t const e : r.experts) {
      if (seen.contains(e)) continue;
      seen.insert(e);
      experts_[std::size_t{layer} * n_experts_ + n++] = e;
    }
    counts_[layer] = n;
  }

  /// Empty before the layer first ran.
  [[nodiscard]] view<std::uint16_t const> at(std::uint16_t layer) const noexcept {
    return {experts_.data() + std::size_t{layer} * n_experts_, counts_[layer]};
  }

 private:
  static model_shape const& checked(model_shape const& shape) {
    validate(shape);
    return shape;
  }

  std::uint16_t n_experts_;
  std::vector<std::uint16_t> experts_;  // [n_layers, n_experts]
  std::vector<std::uint16_t> counts_;   // [n_layers]
};

}  // namespace buddy::inline v0::detail
