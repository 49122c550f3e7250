// SPDX-License-Identifier: Apache-2.0
/// @file
/// The random numbers of tasks and training data: the same on the C++ and the Python side.
#pragma once

#include <buddy/splitmix64.hpp>

#include <cstdint>

namespace harness {

/// 64 bits of state, any seed.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
class splitmix64 {
 public:
  constexpr explicit splitmix64(std::uint64_t seed) noexcept : state_{seed} {}

  constexpr std::uint64_t next() noexcept {
    std::uint64_t const drawn = buddy::splitmix64(state_);
    state_ += 0x9E3779B97F4A7C15U;
    return drawn;
  }

  /// In [0, n), from the upper 32 bits of one draw.
  constexpr std::uint32_t below(std::uint32_t n) noexcept { return buddy::below(next(), n); }

  /// True with probability numerator / denominator; one draw.
  constexpr bool chance(std::uint32_t numerator, std::uint32_t denominator) noexcept {
    return below(denominator) < numerator;
  }

 private:
  std::uint64_t state_;
};

}  // namespace harness
