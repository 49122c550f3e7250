// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the device tells the host about one token that missed experts.
#pragma once

#include <buddy/config.hpp>
#include <buddy/resolution.hpp>
#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// Up to 8 missed experts of one token at one layer, and how each slot ended. A token with more misses writes several.
///
/// 32 bytes, so that a record is one sector of device memory and never straddles two lines of the link.
struct alignas(32) miss_record {
  static constexpr std::uint32_t capacity = 8;

  std::uint32_t sequence{};  ///< position in the ring's history, from 1; written last
  std::uint32_t dropped{};   ///< records that found the ring full, up to this one
  std::uint32_t endings{};   ///< four bits an expert, the first lowest: its `resolution`
  std::uint16_t layer{};
  std::uint8_t step{};  ///< of the model, modulo 256: the host knows the rest
  std::uint8_t size{};  ///< experts in this record
  std::uint16_t experts[capacity]{};

  [[nodiscard]] BUDDY_HD constexpr bool full() const noexcept { return size == capacity; }

  /// @pre !full()
  BUDDY_HD constexpr void push(std::uint16_t expert, resolution how) noexcept {
    endings |= static_cast<std::uint32_t>(how) << (4U * size);
    experts[size++] = expert;
  }

  /// @pre i < size
  [[nodiscard]] BUDDY_HD constexpr resolution ending(std::uint32_t i) const noexcept {
    return static_cast<resolution>(endings >> (4U * i) & 0xfU);
  }

  constexpr bool operator==(miss_record const&) const = default;
};

static_assert(sizeof(miss_record) == 32 && device_portable<miss_record>);
static_assert(n_resolutions <= 16);

}  // namespace buddy::inline v0::cuda
