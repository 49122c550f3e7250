// SPDX-License-Identifier: Apache-2.0
/// @file
/// Routed slots sorted by the expert that computes them, and cut into tiles: the plan of a large batch.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/cuda/token_groups.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// Routed slots of one expert that are computed together.
struct token_tile {
  std::uint32_t slot{};   ///< of fast memory
  std::uint32_t first{};  ///< position in the sorted order
  std::uint32_t count{};  ///< at most `tile_tokens`
};

/// Tokens that share one reading of the weights.
inline constexpr std::uint32_t tile_tokens = 64;

/// Arrays of a sort, in device memory.
struct token_order {
  std::uint32_t n_slots{};   ///< every slot id is below
  std::uint32_t n_parts{};   ///< warps that sort, each a contiguous part of the routed slots; at least 1
  std::uint32_t* counts{};   ///< [n_parts, n_slots] scratch
  std::uint32_t* order{};    ///< [n_routed] out: routed slots by slot, and ascending within; only those that contribute
  std::uint32_t* offsets{};  ///< [n_slots + 1] out: where each slot's begin in `order`
  token_tile* tiles{};       ///< [max_tiles] out
  std::uint32_t* n_tiles{};  ///< [1] out

  /// Tiles that a batch can need at most: one for each full set of tokens, and one rest for each slot.
  [[nodiscard]] BUDDY_HD static constexpr std::uint32_t max_tiles(std::uint32_t n_routed,
                                                                  std::uint32_t n_slots) noexcept {
    std::uint32_t const rests = n_slots < n_routed ? n_slots : n_routed;
    return n_routed / tile_tokens + rests;
  }

  /// First routed slot of a part; that of part + 1 ends it.
  [[nodiscard]] BUDDY_HD constexpr std::uint32_t part_begin(std::uint32_t part, std::uint32_t n_routed) const noexcept {
    return static_cast<std::uint32_t>(std::uint64_t{n_routed} * part / n_parts);
  }

  [[nodiscard]] BUDDY_HD constexpr std::uint32_t* counts_of(std::uint32_t part) const noexcept {
    return counts + std::uint64_t{part} * n_slots;
  }
};

static_assert(device_portable<token_order> && device_portable<token_tile>);

// Three steps, each by one warp; between them all warps of the block meet. Counting sort: stable, so deterministic.

namespace detail {

/// For each of 32 routed slots, from `first` on: calls f(lane, i, peers) where it contributes; `peers` are the lanes
/// with its slot.
template <class Warp, class F>
BUDDY_HD void for_each_peer_group(Warp const& warp, slot_id const* slots, float const* weights, std::uint32_t first,
                                  std::uint32_t end, F const& f) noexcept {
  auto const active = [&](std::uint32_t lane) {
    return first + lane < end && contributes(slots[first + lane], weights[first + lane]);
  };
  for (std::uint32_t left = vote(warp, active); left != 0;) {
    std::uint32_t const lowest = count_bits((left & (0U - left)) - 1);
    slot_id const slot = slots[first + lowest];
    std::uint32_t const peers =
        vote(warp, [&](std::uint32_t lane) { return (left >> lane & 1U) != 0 && slots[first + lane] == slot; });
    f(static_cast<std::uint32_t>(slot), peers);
    left &= ~peers;
  }
}

}  // namespace detail

/// Step 1: a warp counts its part.
template <class Warp>
BUDDY_HD void count_part(Warp const& warp, dispatch_arrays const& a, token_order const& o,
                         std::uint32_t part) noexcept {
  std::uint32_t* const counts = o.counts_of(part);
  warp.each([&](std::uint32_t lane) {
    for (std::uint32_t s = lane; s < o.n_slots; s += 32) counts[s] = 0;
  });
  warp.sync();
  std::uint32_t const end = o.part_begin(part + 1, a.n_routed());
  for (std::uint32_t first = o.part_begin(part, a.n_routed()); first < end; first += 32) {
    detail::for_each_peer_group(warp, a.slots, a.weights, first, end, [&](std::uint32_t slot, std::uint32_t peers) {
      warp.each([&](std::uint32_t lane) {
        if (lane == 0) counts[slot] += detail::count_bits(peers);
      });
    });
    warp.sync();
  }
}

namespace detail {

/// Sum of the values of the lanes before `lane`, of 32 values that fit 32 bits together.
template <class Warp, class Values>
[[nodiscard]] BUDDY_HD auto sums_before(Warp const& warp, Values& values) noexcept {
  auto before = warp.map([](std::uint32_t) { return 0U; });
  for (std::uint32_t l = 0; l + 1 < 32; ++l) {
    std::uint32_t const value =
        warp.sum(warp.map([&](std::uint32_t lane) { return lane == l ? warp.of(values, lane) : 0U; }));
    warp.each([&](std::uint32_t lane) { warp.of(before, lane) += lane > l ? value : 0U; });
  }
  return before;
}

}  // namespace detail

/// Step 2, by one warp: counts become positions, and the tiles are cut.
template <class Warp>
BUDDY_HD void place_slots(Warp const& warp, token_order const& o) noexcept {
  std::uint32_t position = 0;
  std::uint32_t tile = 0;
  for (std::uint32_t first = 0; first < o.n_slots; first += 32) {
    auto totals = warp.map([&](std::uint32_t lane) {
      std::uint32_t total = 0;
      for (std::uint32_t p = 0; p != o.n_parts && first + lane < o.n_slots; ++p) total += o.counts_of(p)[first + lane];
      return total;
    });
    auto tiles = warp.map([&](std::uint32_t lane) { return (warp.of(totals, lane) + tile_tokens - 1) / tile_tokens; });
    auto before = detail::sums_before(warp, totals);
    auto tiles_before = detail::sums_before(warp, tiles);
    warp.each([&](std::uint32_t lane) {
      std::uint32_t const slot = first + lane;
      if (slot >= o.n_slots) return;
      std::uint32_t const begin = position + warp.of(before, lane);
      std::uint32_t const total = warp.of(totals, lane);
      o.offsets[slot] = begin;
      for (std::uint32_t i = 0; i != warp.of(tiles, lane); ++i) {
        std::uint32_t const rest = total - i * tile_tokens;
        o.tiles[tile + warp.of(tiles_before, lane) + i] = {slot, begin + i * tile_tokens,
                                                           rest < tile_tokens ? rest : tile_tokens};
      }
      std::uint32_t next = begin;  // of each part: behind the same slot's in the parts before
      for (std::uint32_t p = 0; p != o.n_parts; ++p) {
        std::uint32_t const count = o.counts_of(p)[slot];
        o.counts_of(p)[slot] = next;
        next += count;
      }
    });
    position += warp.sum(totals);
    tile += warp.sum(tiles);
  }
  warp.each([&](std::uint32_t lane) {
    if (lane != 0) return;
    o.offsets[o.n_slots] = position;
    *o.n_tiles = tile;
  });
}

/// Step 3: a warp writes its part in order.
template <class Warp>
BUDDY_HD void order_part(Warp const& warp, dispatch_arrays const& a, token_order const& o,
                         std::uint32_t part) noexcept {
  std::uint32_t* const next = o.counts_of(part);
  std::uint32_t const end = o.part_begin(part + 1, a.n_routed());
  for (std::uint32_t first = o.part_begin(part, a.n_routed()); first < end; first += 32) {
    detail::for_each_peer_group(warp, a.slots, a.weights, first, end, [&](std::uint32_t slot, std::uint32_t peers) {
      warp.each([&](std::uint32_t lane) {
        std::uint32_t const bit = std::uint32_t{1} << lane;
        if ((peers & bit) != 0) o.order[next[slot] + detail::count_bits(peers & (bit - 1))] = first + lane;
      });
      warp.sync();
      warp.each([&](std::uint32_t lane) {
        if (lane == 0) next[slot] += detail::count_bits(peers);
      });
      warp.sync();
    });
  }
}

}  // namespace buddy::inline v0::cuda
