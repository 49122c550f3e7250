// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/eviction/window_hot.hpp>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::window_hot;

namespace {

constexpr expert_key a{0, 0}, b{0, 1}, c{0, 2};

}  // namespace

TEST_CASE("window_hot keeps what many of the last accesses went to", "[golden][window_hot]") {
  // 2 slots, window 4, hot from 2 on. a a b: a is hot, c takes the slot of b, where LRU gives up a
  small_pool pool(2, window_hot(2, 4, 50));
  for (auto const k : {a, a, b, c}) pool.ask({}, {k});
  CHECK(pool.holds(a));
  CHECK(pool.next() == c);  // window a a b c
  // window a b c c: c is hot and a is not
  pool.ask({}, {c});
  CHECK(pool.next() == a);
  // window b c c a, then c c a a: both hot: the least recently used
  pool.ask({}, {a});
  CHECK(pool.next() == a);
  pool.ask({}, {a});
  CHECK(pool.next() == c);
}

TEST_CASE("window_hot counts an expert's accesses from before it left", "[golden][window_hot]") {
  // 1 slot, window 4: a b a b. b returned with 2 of the last 4. With a slot more, c enters: b is hot, c leaves first.
  window_hot policy(2, 4, 50);
  for (auto const k : {a, b, a}) {
    policy.on_insert(slot_id{0}, k);
    policy.on_erase(slot_id{0});
  }
  policy.on_insert(slot_id{0}, b);
  policy.on_insert(slot_id{1}, c);  // window b a b c
  CHECK(policy.victim([](slot_id) { return true; }) == slot_id{1});
}

TEST_CASE("window_hot needs a tenth of 256 by default", "[golden][window_hot]") {
  // 25 of 256 is below 10 %, 26 is not
  small_pool pool(2, window_hot(2));
  for (int i = 0; i != 25; ++i) pool.ask({}, {a});
  pool.ask({}, {b});
  CHECK(pool.next() == a);
  pool.ask({}, {a});
  pool.ask({}, {b});
  CHECK(pool.next() == b);
}

TEST_CASE("window_hot refuses settings that make no sense", "[golden][window_hot]") {
  CHECK_THROWS_AS(window_hot(4, 0), buddy::config_error);
  CHECK_THROWS_AS(window_hot(4, 256, 0), buddy::config_error);
  CHECK_THROWS_AS(window_hot(4, 256, 101), buddy::config_error);
}
