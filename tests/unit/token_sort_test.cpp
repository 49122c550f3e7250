// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/emulated_warp.hpp>
#include <buddy/cuda/token_sort.hpp>
#include <buddy/testing/dice.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

using buddy::no_slot;
using buddy::slot_id;
namespace cuda = buddy::cuda;

namespace {

struct sorted {
  std::vector<std::uint32_t> order;
  std::vector<std::uint32_t> offsets;
  std::vector<cuda::token_tile> tiles;
};

/// What the block does, warp after warp. The poison shows what was not written.
sorted sort(std::vector<slot_id> const& slots, std::vector<float> const& weights, std::uint32_t n_slots,
            std::uint32_t n_parts) {
  constexpr std::uint32_t poison = 0xdead'beef;
  auto const n = static_cast<std::uint32_t>(slots.size());
  sorted s{std::vector<std::uint32_t>(n, poison), std::vector<std::uint32_t>(n_slots + 1, poison), {}};
  s.tiles.resize(cuda::token_order::max_tiles(n, n_slots) + 1, {poison, poison, poison});
  std::vector<std::uint32_t> counts(std::size_t{n_parts} * n_slots, poison);
  std::uint32_t n_tiles = poison;
  cuda::dispatch_arrays const a{.n_tokens = n, .top_k = 1, .slots = slots.data(), .weights = weights.data()};
  cuda::token_order const o{n_slots,          n_parts,        counts.data(), s.order.data(),
                            s.offsets.data(), s.tiles.data(), &n_tiles};
  buddy::cuda::emulated_warp const warp;
  for (std::uint32_t p = 0; p != n_parts; ++p) cuda::count_part(warp, a, o, p);
  cuda::place_slots(warp, o);
  for (std::uint32_t p = 0; p != n_parts; ++p) cuda::order_part(warp, a, o, p);
  REQUIRE(n_tiles < s.tiles.size());
  CHECK(s.tiles.back().slot == poison);  // one more than there can be
  s.tiles.resize(n_tiles);
  s.order.resize(s.offsets.back());
  return s;
}

/// The specification: slot after slot, one loop each.
sorted serial(std::vector<slot_id> const& slots, std::vector<float> const& weights, std::uint32_t n_slots) {
  sorted s;
  for (std::uint32_t slot = 0; slot != n_slots; ++slot) {
    s.offsets.push_back(static_cast<std::uint32_t>(s.order.size()));
    for (std::uint32_t i = 0; i != slots.size(); ++i)
      if (slots[i] == slot_id{slot} && weights[i] != 0.0F) s.order.push_back(i);
    auto const end = static_cast<std::uint32_t>(s.order.size());
    for (std::uint32_t first = s.offsets.back(); first < end; first += cuda::tile_tokens)
      s.tiles.push_back({slot, first, std::min(end - first, cuda::tile_tokens)});
  }
  s.offsets.push_back(static_cast<std::uint32_t>(s.order.size()));
  return s;
}

bool same(std::vector<cuda::token_tile> const& a, std::vector<cuda::token_tile> const& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i != a.size(); ++i)
    if (a[i].slot != b[i].slot || a[i].first != b[i].first || a[i].count != b[i].count) return false;
  return true;
}

}  // namespace

TEST_CASE("a sort puts each slot's routed slots together, in their order", "[unit][dispatch]") {
  // Slots 2 0 2 - 1 2, the last but one dropped: 0 has {1}, 1 has nothing, 2 has {0, 2, 5}.
  auto const s = sort({slot_id{2}, slot_id{0}, slot_id{2}, no_slot, slot_id{1}, slot_id{2}},
                      {1.0F, 1.0F, 1.0F, 1.0F, 0.0F, 1.0F}, 3, 2);
  CHECK(s.order == std::vector<std::uint32_t>{1, 0, 2, 5});
  CHECK(s.offsets == std::vector<std::uint32_t>{0, 1, 1, 4});
  CHECK(same(s.tiles, {{0, 0, 1}, {2, 1, 3}}));
}

TEST_CASE("an expert with more tokens than a tile gets several tiles", "[unit][dispatch]") {
  auto const s = sort(std::vector<slot_id>(130, slot_id{1}), std::vector<float>(130, 1.0F), 2, 3);
  CHECK(same(s.tiles, {{1, 0, 64}, {1, 64, 64}, {1, 128, 2}}));
}

TEST_CASE("the warps' sort is the serial one, whatever the number of parts", "[unit][dispatch]") {
  buddy::testing::dice random(9);
  for (int round = 0; round != 120; ++round) {
    auto const n = random.roll(400);
    auto const n_slots = 1 + random.roll(100);
    std::vector<slot_id> slots(n);
    std::vector<float> weights(n);
    for (std::uint32_t i = 0; i != n; ++i) {
      slots[i] = random.chance(9) ? no_slot : slot_id{random.roll(n_slots)};
      weights[i] = random.chance(9) ? 0.0F : 1.0F;
    }
    auto const expected = serial(slots, weights, n_slots);
    for (std::uint32_t const n_parts : {1U, 2U, 7U, 32U}) {
      auto const got = sort(slots, weights, n_slots, n_parts);
      CHECK(got.order == expected.order);
      CHECK(got.offsets == expected.offsets);
      CHECK(same(got.tiles, expected.tiles));
    }
  }
}
