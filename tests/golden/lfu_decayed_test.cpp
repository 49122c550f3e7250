// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/eviction/lfu_decayed.hpp>
#include <buddy/testing/dice.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::lfu_decayed;

namespace {

constexpr expert_key a{0, 0}, b{0, 1}, c{0, 2};
constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 3, .top_k = 1, .expert_bytes = 1};

/// a in steps 0, 1, 2; b in step 2.
small_pool<lfu_decayed> played(double half_life) {
  small_pool pool(3, lfu_decayed(3, half_life));
  pool.ask({0, 0, 1}, {a});
  pool.ask({1, 0, 1}, {a});
  pool.ask({2, 0, 1}, {a, b});
  return pool;
}

}  // namespace

TEST_CASE("lfu_decayed weighs frequency against age", "[golden][lfu_decayed]") {
  // H = 1 step. a: 1, then 1/2 + 1 = 1.5, then .75 + 1 = 1.75 in step 2. b: 1 in step 2.
  auto pool = played(1.0);
  CHECK(pool.next() == b);  // 1 < 1.75

  // step 3: a .875, b .5, c enters with 1: b goes first still.  b is asked for again in step 3: .5 + 1 = 1.5, and a is
  // the lowest: .875 < 1 < 1.5
  pool.ask({3, 0, 1}, {c});
  CHECK(pool.next() == b);
  pool.ask({3, 0, 1}, {b});
  CHECK(pool.next() == a);
}

TEST_CASE("lfu_decayed never forgets with an infinite half-life", "[golden][lfu_decayed]") {
  // a was asked for 3 times, b once, c twice much later
  auto pool = played(std::numeric_limits<double>::infinity());
  pool.ask({1000, 0, 1}, {c});
  pool.ask({1001, 0, 1}, {c});
  CHECK(pool.next() == b);
  pool.ask({1002, 0, 1}, {b});
  pool.ask({1003, 0, 1}, {b});  // b 3, a 3, c 2
  CHECK(pool.next() == c);
}

TEST_CASE("lfu_decayed breaks ties by the lower layer and expert", "[golden][lfu_decayed]") {
  small_pool pool(3, lfu_decayed(3));
  pool.ask({5, 0, 1}, {c, b, {1, 0}});
  CHECK(pool.next() == b);
}

TEST_CASE("lfu_decayed forgets the score of an expert that left", "[golden][lfu_decayed]") {
  lfu_decayed policy(2, 1.0);
  auto const any = [](slot_id) { return true; };
  policy.on_insert(slot_id{0}, a);
  for (int i = 0; i != 9; ++i) policy.on_hit(slot_id{0});
  policy.on_insert(slot_id{1}, b);
  CHECK(policy.victim(any) == slot_id{1});  // 10 against 1
  policy.on_erase(slot_id{0});
  policy.on_insert(slot_id{0}, a);
  CHECK(policy.victim(any) == slot_id{0});  // 1 against 1: the lower expert
}

TEST_CASE("lfu_decayed keeps scores after eviction when it is told the model", "[golden][lfu_decayed]") {
  // 2 slots, H = 1 step. Step 0: a 2, b 2. Step 1: a 1 + 1 = 2, b 1: c enters for b. c 1: b enters for c.
  auto const played_with = [](lfu_decayed policy) {
    small_pool pool(2, std::move(policy));
    for (auto const k : {a, a, b, b}) pool.ask({0, 0, 1}, {k});
    for (auto const k : {a, c, b}) pool.ask({1, 0, 1}, {k});
    return pool;
  };
  // b returned with 1 + 1 = 2 against a's 2: the lower expert goes. Without its past it has 1.
  CHECK(played_with(lfu_decayed(2, shape, 1.0)).next() == a);
  CHECK(played_with(lfu_decayed(2, 1.0)).next() == b);

  // Step 2: a 1, b 1, and c .5 outside. c enters for a with .5 + 1 = 1.5: b's 1 is lower.
  // a enters for b with 1 + 1 = 2: c's 1.5 is lower.
  auto pool = played_with(lfu_decayed(2, shape, 1.0));
  pool.ask({2, 0, 1}, {c});
  CHECK(pool.next() == b);
  pool.ask({2, 0, 1}, {a});
  CHECK(pool.next() == c);
}

TEST_CASE("lfu_decayed counts ghosts when it is told the model, and only then", "[golden][lfu_decayed]") {
  // Step 0: a and b enter. Steps 1 and 2: a is hit, and c is missed and not fetched. Step 3: c comes for b. Never
  // forgotten, a has 3 and c 2 + 1; a tie goes to the lower expert, a. Without ghosts c has 1.
  auto const leaves = [](lfu_decayed policy) {
    policy.on_step({0, 0, 1});
    policy.on_insert(slot_id{0}, a);
    policy.on_insert(slot_id{1}, b);
    for (std::uint64_t step = 1; step != 3; ++step) {
      policy.on_step({step, 0, 1});
      policy.on_hit(slot_id{0});
      policy.on_ghost(c);
    }
    policy.on_erase(slot_id{1});
    policy.on_insert(slot_id{1}, c);
    return policy.victim([](slot_id) noexcept { return true; });
  };
  double const never = std::numeric_limits<double>::infinity();
  CHECK(leaves(lfu_decayed(2, shape, never)) == slot_id{0});
  CHECK(leaves(lfu_decayed(2, never)) == slot_id{1});
}

TEST_CASE("lfu_decayed tells the layers apart in what it remembers", "[golden][lfu_decayed]") {
  // 2 slots that never decay. Layer 0's expert 0 is asked for three times, layer 1's expert 0 once, then expert 2 of
  // layer 0 takes the place of the latter (1 < 3). It returns with 1 + 1 = 2, not with 3 + 1.
  small_pool pool(2, lfu_decayed(2, shape, std::numeric_limits<double>::infinity()));
  expert_key const other{1, 0};
  for (auto const k : {a, a, a, other, c, other}) pool.ask({0, 0, 1}, {k});
  CHECK(pool.next() == other);
}

TEST_CASE("lfu_decayed chooses a lowest score as floats have it", "[golden][lfu_decayed]") {
  // 2000 random accesses (seed 5) to 16 slots, H = 8. The reference decays every score, every step. Logarithms err by
  // at most 2/65536 an access, and errors decay with the score: the victim's score is within .1 % of the lowest.
  constexpr std::size_t n = 16;
  lfu_decayed policy(n, 8.0);
  std::vector<double> scores(n, 1.0);
  for (std::uint16_t i = 0; i != n; ++i) policy.on_insert(slot_id{i}, {0, i});
  buddy::testing::dice dice(5);
  double worst = 1.0;
  for (std::uint64_t step = 1; step != 2001; ++step) {
    policy.on_step({step, 0, 1});
    for (double& s : scores) s *= std::exp2(-1.0 / 8.0);
    auto const i = std::min(dice.roll(n), dice.roll(n));  // the lower ones more often
    policy.on_hit(slot_id{i});
    scores[i] += 1.0;
    auto const v = static_cast<std::size_t>(policy.victim([](slot_id) { return true; }));
    worst = std::max(worst, scores[v] / *std::min_element(scores.begin(), scores.end()));
  }
  CHECK(worst < 1.001);
}

TEST_CASE("lfu_decayed refuses a half-life that is not above 0", "[golden][lfu_decayed]") {
  CHECK_THROWS_AS(lfu_decayed(4, 0.0), buddy::config_error);
  CHECK_THROWS_AS(lfu_decayed(4, -1.0), buddy::config_error);
  CHECK_THROWS_AS(lfu_decayed(4, std::nan("")), buddy::config_error);
  CHECK_THROWS_AS(lfu_decayed(4, shape, 0.0), buddy::config_error);
}

TEST_CASE("lfu_decayed refuses an invalid shape", "[golden][lfu_decayed]") {
  CHECK_THROWS_AS(lfu_decayed(4, buddy::model_shape{}, 8.0), buddy::config_error);
}
