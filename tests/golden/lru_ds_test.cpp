// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/policies/eviction/lru_ds.hpp>

#include <cstdint>
#include <utility>

using buddy::expert_key;
using buddy::eviction::lru_ds;

TEST_CASE("lru_ds spares the layer that runs and the two behind it", "[golden][lru_ds]") {
  // 2 slots, 6 layers
  small_pool pool(2, lru_ds(2));
  expert_key const a0{0, 0}, b0{0, 1}, a2{2, 0}, a3{3, 0}, a5{5, 0};
  pool.ask({1, 0, 6}, {a0});
  pool.ask({1, 5, 6}, {a5});
  // Step 2, layer 0 spares 0, 1, 2: a5 leaves, where LRU gives up a0
  pool.ask({2, 0, 6}, {b0});
  CHECK(pool.holds(a0));
  CHECK_FALSE(pool.holds(a5));
  // Layer 5 spares 5 alone, not 0 behind the end: the least recently used
  pool.ask({2, 5, 6}, {a5});
  CHECK_FALSE(pool.holds(a0));
  // Step 3, layer 2, spares 2, 3, 4: b0 is the older of the others. Layer 3 spares 3, 4, 5: of a5 and a2 only a2 is
  // outside, although a5 is the older.
  pool.ask({3, 2, 6}, {a2});
  CHECK_FALSE(pool.holds(b0));
  pool.ask({3, 3, 6}, {a3});
  CHECK_FALSE(pool.holds(a2));
  // Holds a5 and a3, at layer 3 both spared: the least recently used
  CHECK(pool.next() == a5);
}

TEST_CASE("lru_ds spares as many layers as it is told", "[golden][lru_ds]") {
  // 3 slots, step 2 at layer 0. One spared layer: 0, so layer 1 leaves. Two: 0 and 1, so layer 2. None: layer 0.
  for (auto const& [spared, leaves] : {std::pair{0U, 0}, std::pair{1U, 1}, std::pair{2U, 2}}) {
    small_pool pool(3, lru_ds(3, spared));
    for (std::uint16_t l = 0; l != 3; ++l) pool.ask({1, l, 6}, {{l, 0}});
    pool.ask({2, 0, 6}, {});
    CHECK(pool.next() == expert_key{static_cast<std::uint16_t>(leaves), 0});
  }
}
