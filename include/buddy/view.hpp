// SPDX-License-Identifier: Apache-2.0
/// @file
/// A pointer and a length that device code can use: `std::span` cannot be called there without a compiler flag.
#pragma once

#include <buddy/config.hpp>

#include <cstdint>
#include <type_traits>

namespace buddy::inline v0 {

/// Elements in memory that somebody else owns; as cheap to copy as a pointer.
template <class T>
struct view {
  T* data{};
  std::uint32_t size{};

  [[nodiscard]] BUDDY_HD constexpr T& operator[](std::uint32_t i) const noexcept { return data[i]; }
  [[nodiscard]] BUDDY_HD constexpr T* begin() const noexcept { return data; }
  [[nodiscard]] BUDDY_HD constexpr T* end() const noexcept { return data + size; }
  [[nodiscard]] BUDDY_HD constexpr bool empty() const noexcept { return size == 0; }

  /// @pre offset + count <= size
  [[nodiscard]] BUDDY_HD constexpr view part(std::uint32_t offset, std::uint32_t count) const noexcept {
    return {data + offset, count};
  }

  // NOLINTNEXTLINE(google-explicit-constructor): reading through a writable view is always allowed
  [[nodiscard]] BUDDY_HD constexpr operator view<T const>() const noexcept
    requires(!std::is_const_v<T>)
  {
    return {data, size};
  }
};

/// May be passed to a kernel by value and decides there as it does on the host.
template <class T>
concept device_portable = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>;

static_assert(device_portable<view<int>>);

}  // namespace buddy::inline v0
