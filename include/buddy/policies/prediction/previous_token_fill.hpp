// SPDX-License-Identifier: Apache-2.0
/// @file
/// The same experts again, then the popular ones.
///
/// Source: the prefetch lists of tinyserve and BigMoeOnEdge. Differs from them: counts of the whole run, ties to the
/// lower id.
#pragma once

#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/prediction/frequency.hpp>
#include <buddy/policies/prediction/previous_token.hpp>
#include <buddy/policies/prediction/ranking.hpp>
#include <buddy/routing.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::prediction {

/// Names what `previous_token` names; what room is left goes to the experts that `frequency` ranks highest.
///
/// Time and memory: the sum of both.
class previous_token_fill {
 public:
  static constexpr std::string_view name = "previous_token_fill";

  /// @throws config_error when the shape is not valid
  explicit previous_token_fill(model_shape const& shape)
      : previous_(shape), frequency_(shape), rest_(shape.n_experts) {}

  /// Whether it was made for this model's sizes.
  [[nodiscard]] bool fits(model_shape const& shape) const noexcept { return frequency_.fits(shape); }

  void observe(std::uint16_t layer, routing const& r) noexcept {
    previous_.observe(layer, r);
    frequency_.observe(layer, r);
  }

  [[nodiscard]] std::uint32_t predict(std::uint16_t layer, view<std::uint16_t> out) noexcept {
    std::uint32_t const n = previous_.predict(layer, out);
    if (n == out.size) return n;
    view<std::uint64_t const> const counts = frequency_.counts(layer);
    std::copy(counts.begin(), counts.end(), rest_.begin());
    for (std::uint16_t const e : out.part(0, n)) rest_[e] = 0;
    return n + detail::rank_above<std::uint64_t>(0, {rest_.data(), counts.size}, out.part(n, out.size - n));
  }

 private:
  previous_token previous_;
  frequency frequency_;
  std::vector<std::uint64_t> rest_;  // [n_experts] counts of those not named yet
};

static_assert(expert_predictor<previous_token_fill>);

}  // namespace buddy::inline v0::prediction
