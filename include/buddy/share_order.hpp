// SPDX-License-Identifier: Apache-2.0
/// @file
/// A token's slots by falling gate share, whatever order they came in.
#pragma once

#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/routing.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// Whether slot `a` comes before slot `b`. Ties go to the lower expert id, never to the earlier slot: so permuting the
/// slots of a token permutes what is said of them.
[[nodiscard]] BUDDY_HD constexpr bool heavier(token_view const& token, std::uint32_t a, std::uint32_t b) noexcept {
  if (token.shares[a] != token.shares[b]) return token.shares[a] > token.shares[b];
  return token.experts[a] < token.experts[b];
}

/// Slots that are heavier than `s`: 0 for the top expert. Time O(top_k).
[[nodiscard]] BUDDY_HD constexpr std::uint32_t share_rank(token_view const& token, std::uint32_t s) noexcept {
  std::uint32_t rank = 0;
  for (std::uint32_t other = 0; other != token.shares.size; ++other) rank += heavier(token, other, s) ? 1 : 0;
  return rank;
}

/// Sum of the shares of the slots that are heavier than `s`, Q16. Time O(top_k).
[[nodiscard]] BUDDY_HD constexpr q16 heavier_mass(token_view const& token, std::uint32_t s) noexcept {
  q16 mass = 0;
  for (std::uint32_t other = 0; other != token.shares.size; ++other)
    mass += heavier(token, other, s) ? token.shares[other] : 0;
  return mass;
}

/// Sum of the shares of `s` and of the slots that are lighter, Q16. Time O(top_k).
[[nodiscard]] BUDDY_HD constexpr q16 tail_mass(token_view const& token, std::uint32_t s) noexcept {
  q16 mass = 0;
  for (std::uint32_t other = 0; other != token.shares.size; ++other)
    mass += heavier(token, other, s) ? 0 : token.shares[other];
  return mass;
}

}  // namespace buddy::inline v0
