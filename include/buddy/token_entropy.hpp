// SPDX-License-Identifier: Apache-2.0
/// @file
/// How evenly a token's gate weights are spread: the Token Activating Entropy, in integers.
///
/// Source: BuddyMoE, arXiv:2511.10054, Eq. 1. Differs from it: base 2 and fixed point (the base cancels in the ratio).
#pragma once

#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// -sum p log2 p, Q32. Shares of 0 add nothing.
/// @param shares  [top_k] gate weights divided by their sum, Q16, each at most 65536
[[nodiscard]] BUDDY_HD constexpr std::uint64_t entropy_q32(view<q16 const> shares) noexcept {
  std::uint64_t sum = 0;
  for (q16 const p : shares) {
    if (p != 0) sum += p * static_cast<std::uint64_t>(-log2_q16(p));
  }
  return sum;
}

/// log2 k, Q32: the entropy of k equal shares. @pre 1 <= k < 65536
[[nodiscard]] BUDDY_HD constexpr std::uint64_t max_entropy_q32(std::uint32_t k) noexcept {
  return static_cast<std::uint64_t>(log2_q16(k << 16)) << 16;
}

/// The token's entropy over the greatest possible one, Q16 in [0, 65536], to the nearest unit; 0 when top_k is 1.
[[nodiscard]] BUDDY_HD constexpr q16 token_entropy_q16(view<q16 const> shares) noexcept {
  std::uint64_t const most = max_entropy_q32(shares.size);
  if (most == 0) return 0;
  // At most 5 bits of whole part: (5 << 32) << 16 fits. Rounded shares can sum to a little more than 1, hence the cap.
  std::uint64_t const ratio = ((entropy_q32(shares) << 16) + most / 2) / most;
  return ratio < q16_one ? static_cast<q16>(ratio) : q16_one;
}

}  // namespace buddy::inline v0
