// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which routed slots of a small batch use the same expert, found by the warp that is about to compute it.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/types.hpp>

#include <cstdint>

namespace buddy::inline v0::cuda {

namespace detail {

/// Bit l: what the predicate says of lane l. A sum of distinct bits, so every warp that can add can vote.
template <class Warp, class Predicate>
[[nodiscard]] BUDDY_HD std::uint32_t vote(Warp const& warp, Predicate const& predicate) noexcept {
  return warp.sum(warp.map([&](std::uint32_t lane) { return predicate(lane) ? std::uint32_t{1} << lane : 0U; }));
}

[[nodiscard]] BUDDY_HD constexpr std::uint32_t count_bits(std::uint32_t x) noexcept {
  x -= x >> 1 & 0x5555'5555U;
  x = (x & 0x3333'3333U) + (x >> 2 & 0x3333'3333U);
  return ((x + (x >> 4)) & 0x0f0f'0f0fU) * 0x0101'0101U >> 24;
}

}  // namespace detail

/// The routed slots that use the same fast-memory slot as `leader`, in ascending order; none unless `leader` is the
/// first of them and contributes. So each expert has exactly one leader, whoever asks.
///
/// A block a routed slot asks this and most find nothing to do: cheaper than a kernel that sorts first, at up to 512
/// routed slots. Called by all lanes of a warp; reads only.
/// @param n        routed slots of the batch
/// @param members  [n] out
/// @returns how many there are; equal in all lanes
template <class Warp>
[[nodiscard]] BUDDY_HD std::uint32_t gather_group(Warp const& warp, slot_id const* slots, float const* weights,
                                                  std::uint32_t n, std::uint32_t leader,
                                                  std::uint16_t* members) noexcept {
  slot_id const slot = slots[leader];
  if (!contributes(slot, weights[leader])) return 0;
  std::uint32_t count = 0;
  for (std::uint32_t first = 0; first < n; first += 32) {
    auto const same = [&](std::uint32_t lane) {
      std::uint32_t const i = first + lane;
      return i < n && slots[i] == slot && contributes(slot, weights[i]);
    };
    std::uint32_t const found = detail::vote(warp, same);
    bool const leader_is_here = leader >= first && leader - first < 32;
    std::uint32_t const before = leader_is_here ? (std::uint32_t{1} << (leader - first)) - 1 : ~std::uint32_t{0};
    if (first <= leader && (found & before) != 0) return 0;  // another is the first
    warp.each([&](std::uint32_t lane) {
      std::uint32_t const bit = std::uint32_t{1} << lane;
      if ((found & bit) != 0)
        members[count + detail::count_bits(found & (bit - 1))] = static_cast<std::uint16_t>(first + lane);
    });
    count += detail::count_bits(found);
  }
  return count;
}

}  // namespace buddy::inline v0::cuda
