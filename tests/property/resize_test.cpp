// SPDX-License-Identifier: Apache-2.0
// A cache that gets another budget keeps the most worthy records that fit, and works on.
#include "catch.hpp"
#include "property/cache_run.hpp"
#include "property/random_routing.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/eviction/fifo.hpp>
#include <buddy/policies/eviction/lfu.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/policies/prediction/none.hpp>
#include <buddy/policies/selection/none.hpp>
#include <buddy/policies/sensitivity/never.hpp>
#include <buddy/policy.hpp>
#include <buddy/resize.hpp>
#include <buddy/slot_cache.hpp>
#include <buddy/testing/cache_laws.hpp>
#include <buddy/testing/dice.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

constexpr buddy::model_shape shape{.n_layers = 3, .n_experts = 12, .top_k = 2, .expert_bytes = 10};
using keys = std::vector<buddy::expert_key>;
using lru_cache = buddy::slot_cache<buddy::eviction::lru>;

/// Room for one record of every layer at least. Records are of 10, 30 and 17 bytes, or all of 10.
buddy::cache_budget random_budget(buddy::testing::dice& dice, bool unequal) {
  buddy::cache_budget budget{.bytes = 57 + dice.roll(400)};
  if (dice.chance(2)) budget.layout = buddy::pool_layout::global;
  if (unequal) budget.layer_bytes = {10, 30, 17};
  return budget;
}

/// Names the rule that a resize broke, from the definition: from the most worthy on, each stays that still fits its
/// pool.
template <class Eviction>
void check(buddy::slot_cache<Eviction> const& old, buddy::cache_budget const& budget,
           buddy::resized<Eviction> const& made) {
  REQUIRE(made.cache.audit());
  REQUIRE(made.cache.at_rest());
  REQUIRE(made.cache.byte_budget() <= budget.bytes);
  REQUIRE(made.cache.bytes_used() <= made.cache.byte_budget());
  std::uint64_t one_of_each = 0;
  for (std::uint16_t l = 0; l != shape.n_layers; ++l) one_of_each += old.record_bytes(l);
  std::vector<std::uint64_t> left(shape.n_layers, budget.bytes);  // of each pool; the first is the global one
  for (std::uint16_t l = 0; l != shape.n_layers && budget.layout == buddy::pool_layout::per_layer; ++l)
    left[l] = std::min<std::uint64_t>(budget.bytes / one_of_each, shape.n_experts) * old.record_bytes(l);
  auto const held = old.by_worth();
  keys stay, leave;
  for (auto k = held.rbegin(); k != held.rend(); ++k) {
    auto& pool = left[budget.layout == buddy::pool_layout::global ? 0 : k->layer];
    bool const fits = old.record_bytes(k->layer) <= pool;
    if (fits) pool -= old.record_bytes(k->layer);
    (fits ? stay : leave).insert((fits ? stay : leave).begin(), *k);
  }
  REQUIRE(made.left == leave);
  REQUIRE(made.moves.size() == stay.size());
  std::set<buddy::slot_id> taken;
  for (std::size_t i = 0; i != stay.size(); ++i) {
    auto const& move = made.moves[i];
    REQUIRE(move.expert == stay[i]);
    REQUIRE(move.from == old.slot_of(move.expert));
    REQUIRE(move.to == made.cache.residents(move.expert.layer)[move.expert.expert]);
    REQUIRE(taken.insert(move.to).second);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("a resized cache holds the most worthy records that fit", "[property][resize]", buddy::eviction::lru,
                   buddy::eviction::fifo, buddy::eviction::lfu) {
  for (std::uint64_t seed = 1; seed != 101; ++seed) {
    INFO("seed " << seed);
    buddy::testing::dice dice(seed);
    bool const unequal = dice.chance(2);
    buddy::slot_cache<TestType> old(shape, random_budget(dice, unequal));
    replay(old, random_batches(shape, habit::skewed, static_cast<int>(dice.roll(15)), seed));
    auto const budget = random_budget(dice, unequal);
    auto made = buddy::resize(old, budget);
    REQUIRE(made.has_value());
    check(old, budget, *made);
    if (made->left.empty() && std::is_same_v<TestType, buddy::eviction::lru> &&
        budget.layout == buddy::pool_layout::global)
      REQUIRE(made->cache.by_worth() == old.by_worth());
    replay(made->cache, random_batches(shape, habit::uniform, 5, seed + 1000));
    REQUIRE(made->cache.audit());
  }
}

TEST_CASE("a cache that was resized keeps the laws of a cache", "[property][resize]") {
  for (std::uint64_t seed = 1; seed != 11; ++seed) {
    auto const make = [&] {
      lru_cache const empty(shape, {.bytes = 90});
      return buddy::resize(empty, {.bytes = 130, .layout = buddy::pool_layout::global})->cache;
    };
    CHECK(buddy::testing::broken_cache_law(make, shape, 130, seed).empty());
  }
}

TEST_CASE("a cache is not resized while a record is leased or in flight", "[property][resize]") {
  lru_cache cache(shape, {.bytes = 90});
  auto const s = cache.reserve({1, 4});
  CHECK_FALSE(buddy::resize(cache, {.bytes = 60}).has_value());
  cache.commit(s);
  CHECK(buddy::resize(cache, {.bytes = 60}).has_value());
  cache.lease(s);
  CHECK_FALSE(buddy::resize(cache, {.bytes = 60}).has_value());
  cache.release(s);
  auto const made = buddy::resize(cache, {.bytes = 60});
  REQUIRE(made.has_value());
  CHECK(made->moves == std::vector<buddy::record_move>{{{1, 4}, s, made->cache.slot_of({1, 4})}});
}

TEST_CASE("a cache is not resized to a budget that cannot be", "[property][resize]") {
  lru_cache const cache(shape, {.bytes = 90});
  CHECK_THROWS_AS(static_cast<void>(buddy::resize(cache, {.bytes = 29})), buddy::config_error);
  CHECK_THROWS_AS(static_cast<void>(buddy::resize(cache, {.bytes = 90, .layer_bytes = {10, 10, 11}})),
                  buddy::config_error);
}

TEST_CASE("a policy works on with a cache that was resized", "[property][resize]") {
  for (std::uint64_t seed = 1; seed != 21; ++seed) {
    INFO("seed " << seed);
    buddy::policy policy(shape, lru_cache(shape, {.bytes = 150}), buddy::prediction::none(shape),
                         buddy::sensitivity::never{}, buddy::selection::none{}, {.max_tokens = 1});
    random_routing routing(shape, 1, seed);
    for (int i = 0; i != 30; ++i) {
      if (i % 10 == 9) {
        buddy::cache_budget const budget{.bytes = i == 19 ? 240U : 60U};
        auto made = buddy::resize(policy.cache(), budget);
        REQUIRE(made.has_value());
        policy.cache() = std::move(made->cache);
      }
      policy.begin_step();
      for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
        auto const& plan = policy.resolve(l, routing.next());
        for (auto const& a : plan.assignments)
          REQUIRE(a.slot == policy.cache().slot_of({l, a.expert}));  // in its slot, or in the one it is copied to
        for (auto const& c : plan.fetches) policy.commit(c);
        REQUIRE(policy.cache().audit());
      }
    }
    CHECK(policy.cache().byte_budget() == 60);
    CHECK(policy.total().hits != 0);
  }
}
