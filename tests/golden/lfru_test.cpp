// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/policies/eviction/lfru.hpp>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::lfru;

TEST_CASE("lfru weighs frequency against age", "[golden][lfru]") {
  // 2 slots; f / (c - last + 1)
  small_pool pool(2, lfru(2));
  expert_key const a{0, 9}, b{0, 1}, c{0, 2}, d{0, 3}, e{0, 4};
  for (auto const k : {a, a, a, b}) pool.ask({}, {k});
  // c = 4: a 3 / (4 - 3 + 1) = 1.5, b 1 / 1 = 1: b leaves, where LRU gives up a
  CHECK(pool.next() == b);
  pool.ask({}, {c});
  // c = 5: a 3 / (5 - 3 + 1) = 1, c 1 / 1 = 1: the lower expert
  CHECK(pool.next() == c);
  pool.ask({}, {d});
  // c = 6: a 3 / (6 - 3 + 1) = .75, d 1: a leaves, which LFU never gives up here
  CHECK(pool.next() == a);
  pool.ask({}, {e});
  CHECK_FALSE(pool.holds(a));
  // c = 7: d 1 / 2, e 1.  a for d: c = 8: a starts again with 1 / 1, e 1 / 2
  pool.ask({}, {a});
  CHECK(pool.next() == e);
}

TEST_CASE("lfru compares fractions exactly", "[golden][lfru]") {
  // Slot 1: 16,777,216 accesses, then 5,592,402 accesses to slot 2, then 3 to slot 0: slot 1 is 5,592,402 + 3 accesses
  // old, age 5,592,406; slot 0 has age 1. Slot 1: 16,777,216 / 5,592,406 = 2.9999996, slot 0: 3 / 1. The cross products
  // 16,777,216 and 3 x 5,592,406 = 16,777,218 differ by 1e-7 of themselves.
  lfru policy(3);
  policy.on_insert(slot_id{1}, {0, 1});
  for (int i = 1; i != 16'777'216; ++i) policy.on_hit(slot_id{1});
  policy.on_insert(slot_id{2}, {0, 2});
  for (int i = 1; i != 5'592'402; ++i) policy.on_hit(slot_id{2});
  policy.on_insert(slot_id{0}, {0, 0});
  policy.on_hit(slot_id{0});
  policy.on_hit(slot_id{0});
  CHECK(policy.victim([](slot_id s) { return s != slot_id{2}; }) == slot_id{1});
}
