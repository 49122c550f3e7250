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

  /// Reading through a writable view is always allowed. A template, or nvcc warns of `view<T const>` to itself.
  template <class U>
    requires(!std::is_const_v<T> && std::is_same_v<U, T const>)
  // NOLINTNEXTLINE(google-explicit-constructor)
  [[nodiscard]] BUDDY_HD constexpr operator view<U>() const noexcept {
    return {data, size};
  }
};

/// May be passed to a kernel by value and decides there as it does on the host.
template <class T>
concept device_portable = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>;

static_assert(device_portable<view<int>>);

}  // namespace buddy::inline v0
