// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/policies/eviction/least_stale.hpp>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::least_stale;

TEST_CASE("least_stale gives up what this step did not use, in the order it came", "[golden][least_stale]") {
  small_pool pool(3, least_stale(3));
  expert_key const a{0, 0}, b{0, 1}, c{0, 2}, d{0, 3};
  for (auto const k : {a, b, c, a}) pool.ask({1, 0, 1}, {k});
  // Step 2: all are stale, a came first, where LRU gives up b
  pool.ask({2, 0, 1}, {d});
  CHECK_FALSE(pool.holds(a));
  // d is fresh; b and c become fresh: the oldest of the fresh
  CHECK(pool.next() == b);
  pool.ask({2, 0, 1}, {b});
  CHECK(pool.next() == c);
  pool.ask({2, 0, 1}, {c});
  CHECK(pool.next() == b);
  // Step 3: b is fresh, c came before d, where LRU gives up d
  pool.ask({3, 0, 1}, {b});
  CHECK(pool.next() == c);
}

TEST_CASE("least_stale passes over stale slots that may not leave", "[golden][least_stale]") {
  least_stale policy(2);
  policy.on_step({1, 0, 1});
  policy.on_insert(slot_id{0}, {0, 0});
  policy.on_step({2, 0, 1});
  policy.on_insert(slot_id{1}, {0, 1});
  CHECK(policy.victim([](slot_id) { return true; }) == slot_id{0});
  CHECK(policy.victim([](slot_id s) { return s == slot_id{1}; }) == slot_id{1});
  CHECK(policy.victim([](slot_id) { return false; }) == buddy::no_slot);
}
