// SPDX-License-Identifier: Apache-2.0
/// @file
/// A set of experts of one layer, as bits.
#pragma once

#include <buddy/config.hpp>
#include <buddy/types.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// Experts of one layer; only the words that `n_experts` needs are ever touched.
class expert_set {
 public:
  BUDDY_HD constexpr explicit expert_set(std::uint32_t n_experts) noexcept {
    for (std::uint32_t w = 0; w != (n_experts + 63) / 64; ++w) words_[w] = 0;
  }

  BUDDY_HD constexpr void insert(std::uint32_t expert) noexcept { words_[expert / 64] |= bit(expert); }
  [[nodiscard]] BUDDY_HD constexpr bool contains(std::uint32_t expert) const noexcept {
    return (words_[expert / 64] & bit(expert)) != 0;
  }

  /// Bits 64 w to 64 w + 63 of the set.
  [[nodiscard]] BUDDY_HD constexpr std::uint64_t word(std::uint32_t w) const noexcept { return words_[w]; }

 private:
  static BUDDY_HD constexpr std::uint64_t bit(std::uint32_t expert) noexcept {
    return std::uint64_t{1} << (expert % 64);
  }

  std::uint64_t words_[max_experts / 64];
};

}  // namespace buddy::inline v0
