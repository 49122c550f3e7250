// SPDX-License-Identifier: Apache-2.0
/// @file
/// Random numbers that are the same with every standard library.
#pragma once

#include <buddy/splitmix64.hpp>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::testing {

/// A SplitMix64 generator.
class dice {
 public:
  explicit dice(std::uint64_t seed) noexcept : state_(seed) {}

  /// A number in [0, sides). @pre 0 < sides < 2^32
  std::uint32_t roll(std::size_t sides) noexcept { return below(next(), static_cast<std::uint32_t>(sides)); }
  bool chance(std::size_t one_in) noexcept { return roll(one_in) == 0; }
  std::uint64_t next() noexcept {
    std::uint64_t const bits = splitmix64(state_);
    state_ += 0x9e37'79b9'7f4a'7c15U;
    return bits;
  }

 private:
  std::uint64_t state_;
};

}  // namespace buddy::inline v0::testing
