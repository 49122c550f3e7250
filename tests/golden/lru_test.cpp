// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/policies/eviction/lru.hpp>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::lru;

TEST_CASE("lru gives up the slot whose last use is longest ago", "[golden][lru]") {
  // 2 slots, a b a c a b:  a miss, b miss, a hit, c evicts b, a hit, b evicts c  ->  2 hits, {a, b} remain
  small_pool pool(2, lru(2));
  expert_key const a{0, 0}, b{0, 1}, c{0, 2};
  int hits = 0;
  for (auto const k : {a, b, a, c, a, b}) hits += pool.ask({}, {k});
  CHECK(hits == 2);
  CHECK(pool.holds(a));
  CHECK(pool.holds(b));
  CHECK(pool.next() == a);  // used before b
}

TEST_CASE("lru passes over slots that may not leave", "[golden][lru]") {
  lru policy(3);
  for (std::uint16_t i = 0; i != 3; ++i) policy.on_insert(slot_id{i}, {0, i});
  policy.on_hit(slot_id{0});  // oldest first: 1, 2, 0
  CHECK(policy.victim([](slot_id s) { return s != slot_id{1}; }) == slot_id{2});
  CHECK(policy.victim([](slot_id s) { return s == slot_id{0}; }) == slot_id{0});
  CHECK(policy.victim([](slot_id) { return false; }) == buddy::no_slot);
}

TEST_CASE("lru forgets a slot that was erased", "[golden][lru]") {
  lru policy(2);
  policy.on_insert(slot_id{0}, {0, 0});
  policy.on_insert(slot_id{1}, {0, 1});
  policy.on_erase(slot_id{0});
  CHECK(policy.victim([](slot_id) { return true; }) == slot_id{1});
  policy.on_insert(slot_id{0}, {0, 2});  // comes back as the newest
  CHECK(policy.victim([](slot_id) { return true; }) == slot_id{1});
}
