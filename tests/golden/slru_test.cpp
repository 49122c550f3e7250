// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/eviction/slru.hpp>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::slru;

namespace {

constexpr expert_key a{0, 0}, b{0, 1}, c{0, 2}, d{0, 3}, e{0, 4}, f{0, 5};

}  // namespace

TEST_CASE("slru gives up what was never hit first", "[golden][slru]") {
  // 5 slots, 4 may be protected. a enters and is hit: protected. b c d e enter; f for b, where LRU gives up a.
  small_pool pool(5, slru(5));
  for (auto const k : {a, a, b, c, d, e, f}) pool.ask({}, {k});
  CHECK(pool.holds(a));
  CHECK_FALSE(pool.holds(b));
  CHECK(pool.next() == c);
}

TEST_CASE("slru sends the oldest protected slot back to probation", "[golden][slru]") {
  // 3 slots, 50 %: floor(1.5) = 1 may be protected. a b c enter; a is hit: protected; b is hit: protected, and a goes
  // back behind c. Probation, oldest first: c a.
  small_pool pool(3, slru(3, 50));
  for (auto const k : {a, b, c, a, b}) pool.ask({}, {k});
  CHECK(pool.next() == c);
  pool.ask({}, {d});  // for c: a d on probation
  CHECK(pool.next() == a);
  pool.ask({}, {d});  // d protected, b back: a b
  pool.ask({}, {e});  // for a: b e
  CHECK(pool.next() == b);
}

TEST_CASE("slru gives up protected slots when no other may leave", "[golden][slru]") {
  slru policy(3, 100);
  for (std::uint16_t i = 0; i != 3; ++i) policy.on_insert(slot_id{i}, {0, i});
  policy.on_hit(slot_id{1});
  policy.on_hit(slot_id{0});
  CHECK(policy.victim([](slot_id s) { return s != slot_id{2}; }) == slot_id{1});
  policy.on_erase(slot_id{1});
  CHECK(policy.victim([](slot_id s) { return s != slot_id{2}; }) == slot_id{0});
}

TEST_CASE("slru refuses a share above 100 %", "[golden][slru]") { CHECK_THROWS_AS(slru(4, 101), buddy::config_error); }
