// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/policies/eviction/clock.hpp>

using buddy::expert_key;
using buddy::slot_id;
using second_chance = buddy::eviction::clock;  // the C library has a function of that name

namespace {

constexpr expert_key a{0, 0}, b{0, 1}, c{0, 2}, d{0, 3}, e{0, 4};

}  // namespace

TEST_CASE("clock sends what it spares to the end of the queue", "[golden][clock]") {
  // 3 slots. a b c enter, a is hit.  d: a loses its mark and goes behind c, b leaves.  queue c a d
  // e: c leaves.  queue a d e.   Next is a; sieve, which leaves a in front of its hand, would take d.
  small_pool pool(3, second_chance(3));
  int hits = 0;
  for (auto const k : {a, b, c, a, d, e}) hits += pool.ask({}, {k});
  CHECK(hits == 1);
  CHECK(pool.holds(a));
  CHECK_FALSE(pool.holds(c));
  CHECK(pool.next() == a);
  pool.ask({}, {d});  // d is marked
  pool.ask({}, {b});  // a leaves.  queue d e b
  pool.ask({}, {a});  // d loses its mark and goes behind b, e leaves.  queue b d a
  CHECK(pool.holds(d));
  CHECK(pool.next() == b);
}

TEST_CASE("clock takes the first when all are marked, and clears all marks", "[golden][clock]") {
  // 2 slots, both hit: a whole lap, then c takes a; the mark of b is gone, so that d takes b
  small_pool pool(2, second_chance(2));
  for (auto const k : {a, b, a, b, c}) pool.ask({}, {k});
  CHECK_FALSE(pool.holds(a));
  CHECK(pool.next() == b);
}

TEST_CASE("clock passes over slots that may not leave", "[golden][clock]") {
  second_chance policy(3);
  for (std::uint16_t i = 0; i != 3; ++i) policy.on_insert(slot_id{i}, {0, i});
  policy.on_hit(slot_id{1});
  CHECK(policy.victim([](slot_id s) { return s != slot_id{0}; }) == slot_id{2});
  CHECK(policy.victim([](slot_id s) { return s == slot_id{1}; }) == slot_id{1});
  CHECK(policy.victim([](slot_id) { return false; }) == buddy::no_slot);
}
