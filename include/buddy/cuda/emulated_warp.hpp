// SPDX-License-Identifier: Apache-2.0
/// @file
/// A warp on the host: the verbs of `cuda::device_warp` as loops over 32 lanes.
#pragma once

#include <buddy/config.hpp>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// One value a lane.
template <class T>
struct lane_values {
  T value[32];
};

/// Words that nobody else looks at while the warp runs.
struct emulated_memory {
  using word = std::uint32_t;

  BUDDY_HD static word load(word const& w) noexcept { return w; }
  BUDDY_HD static word load_from_reader(word const& w) noexcept { return w; }
  BUDDY_HD static void add_one(word& w) noexcept { ++w; }
  BUDDY_HD static bool replace(word& w, word&, word value) noexcept {
    w = value;
    return true;
  }
  BUDDY_HD static void publish(word& w, word value) noexcept { w = value; }
};

/// BUDDY_HD only so that nvcc lets shared code be made with it.
struct emulated_warp {
  static constexpr std::uint32_t n_lanes = 32;
  using memory = emulated_memory;

  template <class F>
  [[nodiscard]] BUDDY_HD auto map(F const& f) const noexcept {
    lane_values<decltype(f(0U))> values{};
    for (std::uint32_t l = 0; l != n_lanes; ++l) values.value[l] = f(l);
    return values;
  }

  template <class Values>
  [[nodiscard]] static BUDDY_HD auto& of(Values& values, std::uint32_t lane) noexcept {
    return values.value[lane];
  }

  template <class F>
  BUDDY_HD void each(F const& f) const noexcept {
    for (std::uint32_t l = 0; l != n_lanes; ++l) f(l);
  }

  [[nodiscard]] static BUDDY_HD std::uint32_t same(std::uint32_t value) noexcept { return value; }

  template <class F>
  BUDDY_HD void once(F const& f) const noexcept {
    f();
  }

  template <class T>
  [[nodiscard]] BUDDY_HD T max(lane_values<T> const& values) const noexcept {
    T best = values.value[0];
    for (T const x : values.value) best = x > best ? x : best;
    return best;
  }
  template <class T>
  [[nodiscard]] BUDDY_HD T min(lane_values<T> const& values) const noexcept {
    T best = values.value[0];
    for (T const x : values.value) best = x < best ? x : best;
    return best;
  }
  template <class T>
  [[nodiscard]] BUDDY_HD T sum(lane_values<T> const& values) const noexcept {
    T total{};
    for (T const x : values.value) total += x;
    return total;
  }

  BUDDY_HD void set_bit(std::uint32_t* words, std::uint32_t i) const noexcept { words[i / 32] |= 1U << (i % 32); }
  BUDDY_HD void sync() const noexcept {}
};

}  // namespace buddy::inline v0::cuda
