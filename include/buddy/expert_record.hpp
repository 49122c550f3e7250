// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the bytes of one expert mean: read by those who compute with them, opaque to everyone else.
#pragma once

#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0 {

/// Format of the weights, and of the vectors that they are multiplied with.
enum class weight_type : std::uint8_t { bf16, f16 };

/// Bytes of one weight.
[[nodiscard]] BUDDY_HD constexpr std::size_t size_of(weight_type) noexcept { return 2; }

/// Layout of a gated expert, `down(silu(gate x) * up x)`: three row-major matrices behind one another, without gaps, so
/// that one copy moves them all.
///
/// Everything else (caches, copies, tables) knows only how many bytes a record has: a quantised format is another
/// layout beside this one, and changes nothing there.
struct expert_record {
  /// Alignment of a record in slow memory: a huge page, cheaper to pin and to walk.
  static constexpr std::size_t alignment = std::size_t{2} << 20;

  std::uint32_t hidden{};  ///< length of a token's vector
  std::uint32_t width{};   ///< rows of gate and of up
  weight_type type{weight_type::bf16};

  /// [width, hidden]
  [[nodiscard]] BUDDY_HD constexpr std::size_t gate_offset() const noexcept { return 0; }
  /// [width, hidden]
  [[nodiscard]] BUDDY_HD constexpr std::size_t up_offset() const noexcept { return matrix_bytes(); }
  /// [hidden, width]
  [[nodiscard]] BUDDY_HD constexpr std::size_t down_offset() const noexcept { return 2 * matrix_bytes(); }

  /// Bytes of the weights: what a copy moves.
  [[nodiscard]] BUDDY_HD constexpr std::size_t bytes() const noexcept { return 3 * matrix_bytes(); }

  /// Distance between two records in slow memory: `bytes` rounded up to `alignment`.
  [[nodiscard]] BUDDY_HD constexpr std::size_t aligned_bytes() const noexcept {
    return (bytes() + alignment - 1) / alignment * alignment;
  }

  [[nodiscard]] BUDDY_HD constexpr std::size_t matrix_bytes() const noexcept {
    return std::size_t{hidden} * width * size_of(type);
  }

  constexpr bool operator==(expert_record const&) const = default;
};

static_assert(device_portable<expert_record>);

/// @throws config_error when a size is zero
inline void validate(expert_record const& r) {
  if (r.hidden == 0 || r.width == 0)
    detail::throw_config_error("buddy::expert_record: hidden and width must be at least 1");
}

}  // namespace buddy::inline v0
