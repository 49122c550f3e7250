// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/eviction/lfu.hpp>

#include <utility>

using buddy::expert_key;
using buddy::eviction::lfu;

namespace {

constexpr expert_key a{0, 0}, b{0, 1}, c{0, 2}, d{0, 3};
constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = 4, .top_k = 1, .expert_bytes = 1};

/// a a a b b c b: three times a, twice b; c for b (2 < 3), b for c (1 < 3).
small_pool<lfu> played(lfu policy) {
  small_pool pool(2, std::move(policy));
  for (auto const k : {a, a, a, b, b, c, b}) pool.ask({}, {k});
  return pool;
}

}  // namespace

TEST_CASE("lfu gives up what was asked for least often", "[golden][lfu]") {
  // 2 slots. a 3, b 1 and used last: c takes the slot of b, where LRU gives up a
  small_pool pool(2, lfu(2));
  for (auto const k : {a, a, a, b, c}) pool.ask({}, {k});
  CHECK(pool.holds(a));
  CHECK_FALSE(pool.holds(b));
}

TEST_CASE("lfu counts from 1 when an expert returns", "[golden][lfu]") {
  // a 3, b 1
  CHECK(played(lfu(2)).next() == b);
}

TEST_CASE("lfu keeps counts after eviction when it is told the model", "[golden][lfu]") {
  // a 3, b 2 + 1 = 3: a was used before b
  auto pool = played(lfu(2, shape));
  CHECK(pool.next() == a);
  // c enters for a and had 1: 2 against b 3. Then a enters for c: 4 against 3.
  pool.ask({}, {c});
  CHECK(pool.next() == c);
  pool.ask({}, {a});
  CHECK(pool.next() == b);
}

TEST_CASE("lfu breaks ties by last use", "[golden][lfu]") {
  // a 2, b 2, d 2; a was hit last, b before it
  small_pool pool(3, lfu(3));
  for (auto const k : {a, b, d, d, b, a}) pool.ask({}, {k});
  CHECK(pool.next() == d);
}

TEST_CASE("lfu refuses an invalid shape", "[golden][lfu]") { CHECK_THROWS_AS(lfu(2, {}), buddy::config_error); }
