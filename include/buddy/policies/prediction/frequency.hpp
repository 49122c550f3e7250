// SPDX-License-Identifier: Apache-2.0
/// @file
/// The layer's most popular experts, of all time or of late.
///
/// Source: the popularity ranking that many engines place experts by; the moving average is that of KTransformers'
/// online placement. Differs from them: integer counts, so that ties are ties.
#pragma once

#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/prediction/ranking.hpp>
#include <buddy/routing.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::prediction {

/// Ranks the experts of a layer by how many tokens were routed to them.
///
/// With a moving average every count of a layer is multiplied by alpha before a batch of that layer is added; without
/// one, nothing is forgotten. Experts whose count is 0 are not named; ties go to the lower id.
/// Time: `observe` O(n_tokens * top_k), with a moving average also O(n_experts); `predict` as `rank_above`.
/// Memory: 8 bytes an expert.
class frequency {
 public:
  static constexpr std::string_view name = "frequency";

  /// Counts all tokens alike.
  /// @throws config_error when the shape is not valid
  explicit frequency(model_shape const& shape)
      : shape_((validate(shape), shape)), counts_(shape.n_keys()), alpha_(q16_one) {}

  /// Moving average. A single use is forgotten once it is worth less than 2^-16.
  /// @param alpha  share of a count that the next batch leaves, in [0, 0.999]
  /// @throws config_error when the shape is not valid or alpha is out of range
  frequency(model_shape const& shape, double alpha) : frequency(shape) {
    if (!(alpha >= 0.0 && alpha <= 0.999))
      detail::throw_config_error("buddy::prediction::frequency: alpha must be in [0, 0.999]");
    alpha_ = to_q16(alpha);
  }

  /// Whether it was made for this model's sizes.
  [[nodiscard]] bool fits(model_shape const& shape) const noexcept { return routes_alike(shape, shape_); }

  void observe(std::uint16_t layer, routing const& r) noexcept {
    std::uint64_t* const row = counts_.data() + shape_.index({layer, 0});
    // At most 2^10 (the sum of the powers of alpha) x 2^16 x n_tokens before the product with alpha: no overflow below
    // 2^22 tokens.
    if (alpha_ != q16_one)
      for (std::uint32_t e = 0; e != shape_.n_experts; ++e) row[e] = row[e] * alpha_ >> 16;
    for (std::uint16_t const e : r.experts) row[e] += one;
  }

  [[nodiscard]] std::uint32_t predict(std::uint16_t layer, view<std::uint16_t> out) noexcept {
    return detail::rank_above<std::uint64_t>(0, counts(layer), out);
  }

  /// [n_experts] counts of one layer, Q16.
  [[nodiscard]] view<std::uint64_t const> counts(std::uint16_t layer) const noexcept {
    return {counts_.data() + shape_.index({layer, 0}), shape_.n_experts};
  }

 private:
  static constexpr std::uint64_t one = std::uint64_t{1} << 16;

  model_shape shape_;
  std::vector<std::uint64_t> counts_;  // [n_layers, n_experts] Q16
  q16 alpha_;                          // 1: no average
};

static_assert(expert_predictor<frequency>);

}  // namespace buddy::inline v0::prediction
