// SPDX-License-Identifier: Apache-2.0
/// @file
/// A warp on the host: the verbs of `cuda::device_warp` as loops over 32 lanes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>

namespace buddy::inline v0::testing {

struct emulated_warp {
  static constexpr std::uint32_t n_lanes = 32;

  template <class T>
  using lanes = std::array<T, n_lanes>;

  template <class F>
  [[nodiscard]] auto map(F const& f) const noexcept {
    lanes<decltype(f(0U))> values{};
    for (std::uint32_t l = 0; l != n_lanes; ++l) values[l] = f(l);
    return values;
  }

  template <class Values>
  [[nodiscard]] static auto& of(Values& values, std::uint32_t lane) noexcept {
    return values[lane];
  }

  template <class F>
  void each(F const& f) const noexcept {
    for (std::uint32_t l = 0; l != n_lanes; ++l) f(l);
  }

  template <class T>
  [[nodiscard]] T max(lanes<T> const& values) const noexcept {
    return *std::max_element(values.begin(), values.end());
  }
  template <class T>
  [[nodiscard]] T min(lanes<T> const& values) const noexcept {
    return *std::min_element(values.begin(), values.end());
  }
  template <class T>
  [[nodiscard]] T sum(lanes<T> const& values) const noexcept {
    return std::accumulate(values.begin(), values.end(), T{});
  }

  void set_bit(std::uint32_t* words, std::uint32_t i) const noexcept { words[i / 32] |= 1U << (i % 32); }
  void sync() const noexcept {}
};

}  // namespace buddy::inline v0::testing
