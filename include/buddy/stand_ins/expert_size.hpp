// SPDX-License-Identifier: Apache-2.0
/// @file
/// The sizes of one gated expert.
#pragma once

#include <buddy/error.hpp>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::stand_ins {

/// Of `down(silu(gate x) * up x)`.
struct expert_size {
  std::uint32_t hidden{};  ///< length of a token's vector
  std::uint32_t width{};   ///< hidden units: rows of gate and of up

  /// Weights of all three matrices.
  [[nodiscard]] constexpr std::size_t weights() const noexcept { return std::size_t{3} * hidden * width; }

  constexpr bool operator==(expert_size const&) const = default;
};

/// @throws config_error when a size is zero
constexpr void validate(expert_size const& s) {
  if (s.hidden == 0 || s.width == 0)
    buddy::detail::throw_config_error("buddy::stand_ins::expert_size: hidden and width must be at least 1");
}

}  // namespace buddy::inline v0::stand_ins
