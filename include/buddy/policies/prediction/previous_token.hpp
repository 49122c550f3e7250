// SPDX-License-Identifier: Apache-2.0
/// @file
/// The same experts again.
///
/// Source: the temporal locality that Eliseev, Mazur, arXiv:2312.17238, measured on Mixtral.
#pragma once

#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/prediction/last_asked.hpp>
#include <buddy/routing.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace buddy::inline v0::prediction {

/// Names what the layer was asked for at the previous step, in routed order over the batch.
///
/// Time: `observe` O(n_tokens * top_k), `predict` O(out.size). Memory: 2 bytes an expert.
class previous_token {
 public:
  static constexpr std::string_view name = "previous_token";

  /// @throws config_error when the shape is not valid
  explicit previous_token(model_shape const& shape) : asked_(shape) {}

  /// Whether it was made for this model's sizes.
  [[nodiscard]] bool fits(model_shape const& shape) const noexcept { return asked_.fits(shape); }

  void observe(std::uint16_t layer, routing const& r) noexcept { asked_.record(layer, r); }

  [[nodiscard]] std::uint32_t predict(std::uint16_t layer, view<std::uint16_t> out) noexcept {
    view<std::uint16_t const> const asked = asked_.at(layer);
    std::uint32_t const n = std::min(out.size, asked.size);
    std::copy_n(asked.data, n, out.data);
    return n;
  }

 private:
  detail::last_asked asked_;
};

static_assert(expert_predictor<previous_token>);

}  // namespace buddy::inline v0::prediction
