// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/policies/eviction/sieve.hpp>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::sieve;

namespace {

constexpr expert_key a{0, 0}, b{0, 1}, c{0, 2}, d{0, 3}, e{0, 4}, f{0, 5};

}  // namespace

TEST_CASE("sieve leaves what it spared where it is", "[golden][sieve]") {
  // 3 slots. a b c enter, a is hit.  d: the hand clears a and takes b, stops at c.   queue a c d
  // e: takes c, stops at d.   queue a d e          f: takes d, where LRU gives up a.   queue a e f
  small_pool pool(3, sieve(3));
  int hits = 0;
  for (auto const k : {a, b, c, a, d, e, f}) hits += pool.ask({}, {k});
  CHECK(hits == 1);
  CHECK(pool.holds(a));
  CHECK(pool.holds(e));
  // e, then f, then from the front again: a, which has no mark any more
  CHECK(pool.next() == e);
  pool.ask({}, {b});  // queue a f b
  pool.ask({}, {c});  // queue a b c
  CHECK(pool.next() == b);
}

TEST_CASE("sieve clears all marks on a lap that finds none without", "[golden][sieve]") {
  // 2 slots, both hit: c takes the first, a, and the mark of b is gone: d takes b
  small_pool pool(2, sieve(2));
  for (auto const k : {a, b, a, b, c}) pool.ask({}, {k});
  CHECK_FALSE(pool.holds(a));
  CHECK(pool.next() == b);
}

TEST_CASE("sieve starts at the oldest again behind the newest", "[golden][sieve]") {
  // 2 slots. b is hit. c takes a, the hand stops at b. d: the hand clears b and takes c, the newest, so that it starts
  // over at the oldest, b, and not at d, which entered later.
  small_pool pool(2, sieve(2));
  for (auto const k : {a, b, b, c, d}) pool.ask({}, {k});
  CHECK(pool.holds(b));
  CHECK(pool.holds(d));
  CHECK(pool.next() == b);
}

TEST_CASE("sieve passes over slots that may not leave", "[golden][sieve]") {
  sieve policy(3);
  for (std::uint16_t i = 0; i != 3; ++i) policy.on_insert(slot_id{i}, {0, i});
  policy.on_hit(slot_id{1});
  CHECK(policy.victim([](slot_id s) { return s != slot_id{0}; }) == slot_id{2});
  CHECK(policy.victim([](slot_id s) { return s == slot_id{1}; }) == slot_id{1});
  CHECK(policy.victim([](slot_id) { return false; }) == buddy::no_slot);
}
