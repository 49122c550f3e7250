// SPDX-License-Identifier: Apache-2.0
/// @file
/// The one source of pseudo-random numbers: stateless, and the same on host and device.
#pragma once

#include <buddy/config.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// The number that a SplitMix64 generator in state `x` gives next; also a hash of `x`.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (constants: variant 13 of
/// Stafford).
[[nodiscard]] BUDDY_HD constexpr std::uint64_t splitmix64(std::uint64_t x) noexcept {
  x += 0x9e37'79b9'7f4a'7c15U;
  x = (x ^ (x >> 30)) * 0xbf58'476d'1ce4'e5b9U;
  x = (x ^ (x >> 27)) * 0x94d0'49bb'1331'11ebU;
  return x ^ (x >> 31);
}

/// A number in [0, n) from 64 random bits: the upper 32 bits times n. Uniform within n / 2^32.
[[nodiscard]] BUDDY_HD constexpr std::uint32_t below(std::uint64_t bits, std::uint32_t n) noexcept {
  return static_cast<std::uint32_t>(((bits >> 32) * n) >> 32);
}

}  // namespace buddy::inline v0
