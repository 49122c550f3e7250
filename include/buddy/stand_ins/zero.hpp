// SPDX-License-Identifier: Apache-2.0
/// @file
/// Nothing in the expert's place.
#pragma once

#include <buddy/concepts/stand_in_model.hpp>
#include <buddy/resolution.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::stand_ins {

/// Costs nothing and computes nothing: what every other stand-in must beat.
struct zero {
  static constexpr std::string_view name = "zero";
  static constexpr resolution how = resolution::drop;

  [[nodiscard]] static constexpr std::uint64_t bytes() noexcept { return 0; }
  static constexpr void add(float, float const*, float*) noexcept {}
};

static_assert(stand_in_model<zero>);

}  // namespace buddy::inline v0::stand_ins
