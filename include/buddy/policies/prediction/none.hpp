// SPDX-License-Identifier: Apache-2.0
/// @file
/// No prediction: experts are copied when they are asked for.
#pragma once

#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::prediction {

/// Names no expert. Time O(1), no memory.
class none {
 public:
  static constexpr std::string_view name = "none";

  explicit none(model_shape const&) noexcept {}

  void observe(std::uint16_t, routing const&) noexcept {}
  [[nodiscard]] std::uint32_t predict(std::uint16_t, view<std::uint16_t>) noexcept { return 0; }
};

static_assert(expert_predictor<none>);

}  // namespace buddy::inline v0::prediction
