// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/policies/eviction/fifo.hpp>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::fifo;

TEST_CASE("fifo gives up the oldest slot even when it was just hit", "[golden][fifo]") {
  // 2 slots, a b a c a b:  a miss, b miss, a hit, c for a, a for b, b for c  ->  1 hit, where LRU has 2
  small_pool pool(2, fifo(2));
  expert_key const a{0, 0}, b{0, 1}, c{0, 2};
  int hits = 0;
  for (auto const k : {a, b, a, c, a, b}) hits += pool.ask({}, {k});
  CHECK(hits == 1);
  CHECK(pool.holds(a));
  CHECK(pool.holds(b));
  CHECK(pool.next() == a);  // came before b
}

TEST_CASE("fifo passes over slots that may not leave", "[golden][fifo]") {
  fifo policy(3);
  for (std::uint16_t i = 0; i != 3; ++i) policy.on_insert(slot_id{i}, {0, i});
  CHECK(policy.victim([](slot_id s) { return s != slot_id{0}; }) == slot_id{1});
  CHECK(policy.victim([](slot_id) { return false; }) == buddy::no_slot);
}
