// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/policies/eviction/arc.hpp>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::arc;

TEST_CASE("arc moves its target with the ghosts that return", "[golden][arc]") {
  // c = 2 slots; lists oldest first, p the target of T1
  small_pool pool(2, arc(2));
  expert_key const a{0, 0}, b{0, 1}, c{0, 2}, d{0, 3};
  for (auto const k : {a, a, b}) pool.ask({}, {k});  // T1 b, T2 a, p 0
  // |T1| 1 > 0: b leaves, where LRU gives up a
  CHECK(pool.next() == b);
  pool.ask({}, {c});  // T1 c, T2 a, B1 b
  // c leaves; b is in B1: p = min(2, 0 + max(1, 0 / 2)) = 1, and b enters T2
  pool.ask({}, {b});  // T1 -, T2 a b, B1 c
  // |T1| 0 > 1 does not hold: a leaves
  pool.ask({}, {d});  // T1 d, T2 b, B1 c, B2 a
  CHECK_FALSE(pool.holds(a));
  // |T1| 1 > 1 does not hold: b, although d is the one that was asked for once
  CHECK(pool.next() == b);
  // b leaves; a is in B2: p = 1 - max(1, 1 / 2) = 0, and a enters T2
  pool.ask({}, {a});  // T1 d, T2 a, B1 c, B2 b
  CHECK(pool.next() == d);
}

TEST_CASE("arc forgets its oldest ghosts", "[golden][arc]") {
  // c = 2. a is hit (T2); b c d e enter through the one slot of T1. Before c: B1 b. Before d: |T1| + |B1| = 2 = c: b is
  // forgotten, B1 c. Before e: c is forgotten, B1 d.
  small_pool pool(2, arc(2));
  expert_key const a{0, 0}, b{0, 1}, c{0, 2}, d{0, 3}, e{0, 4};
  for (auto const k : {a, a, b, c, d, e}) pool.ask({}, {k});
  // e leaves for c, which is new again. Before c: |T1| + |B1| = 0 + 2: d is forgotten, B1 e.
  pool.ask({}, {c});
  CHECK(pool.next() == c);
  // c leaves for e, which is in B1: p = 1, T2 a e.  |T1| 0 > 1 does not hold: a leaves.
  pool.ask({}, {e});
  CHECK(pool.next() == a);
}

TEST_CASE("arc searches the other list when none of the first may leave", "[golden][arc]") {
  arc policy(2);
  policy.on_insert(slot_id{0}, {0, 0});
  policy.on_hit(slot_id{0});
  policy.on_insert(slot_id{1}, {0, 1});
  CHECK(policy.victim([](slot_id s) { return s == slot_id{0}; }) == slot_id{0});
  CHECK(policy.victim([](slot_id) { return false; }) == buddy::no_slot);
}
