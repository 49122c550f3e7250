// SPDX-License-Identifier: Apache-2.0
// A cache warmed up with what another one held does as that one would have done.
#include "catch.hpp"
#include "property/cache_run.hpp"

#include <buddy/policies/eviction/arc.hpp>
#include <buddy/policies/eviction/fifo.hpp>
#include <buddy/policies/eviction/lfu.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/policies/eviction/s3_fifo.hpp>
#include <buddy/slot_cache.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

constexpr buddy::model_shape shape{.n_layers = 3, .n_experts = 12, .top_k = 2, .expert_bytes = 10};
using keys = std::vector<buddy::expert_key>;

buddy::view<buddy::expert_key const> viewed(keys const& k) { return {k.data(), static_cast<std::uint32_t>(k.size())}; }

std::vector<buddy::cache_budget> budgets() {
  return {{.bytes = 3 * 50},
          {.bytes = 170, .layout = buddy::pool_layout::global},
          {.bytes = 173, .layout = buddy::pool_layout::global, .layer_bytes = {10, 30, 17}},
          {.bytes = 200, .layer_slots = {2, 5, 9}}};
}

template <class Eviction>
buddy::slot_cache<Eviction> used_cache(buddy::cache_budget const& budget, std::uint64_t seed) {
  buddy::slot_cache<Eviction> cache(shape, budget);
  replay(cache, random_batches(shape, habit::skewed, 15, seed));
  return cache;
}

keys residents(auto const& cache) {
  keys out;
  for (std::uint16_t l = 0; l != shape.n_layers; ++l)
    for (std::uint16_t e = 0; e != shape.n_experts; ++e)
      if (cache.where({l, e}) == buddy::residency::resident) out.push_back({l, e});
  return out;
}

/// The residents after each batch of what comes next.
std::vector<keys> future(auto& cache, std::uint64_t seed) {
  std::vector<keys> out;
  for (auto& batch : random_batches(shape, habit::uniform, 10, seed)) {
    batch.now.step += 15;
    replay(cache, {batch});
    out.push_back(residents(cache));
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("a warm start from saved residents restores content and order", "[property][warm_start]",
                   buddy::eviction::lru, buddy::eviction::fifo) {
  for (auto const& budget : budgets()) {
    for (std::uint64_t seed = 1; seed != 21; ++seed) {
      INFO("seed " << seed);
      auto used = used_cache<TestType>(budget, seed);
      auto const saved = used.by_worth();
      buddy::slot_cache<TestType> warmed(shape, budget);
      warmed.warm(viewed(saved));
      REQUIRE(warmed.audit());
      REQUIRE(residents(warmed) == residents(used));
      REQUIRE(warmed.by_worth() == saved);
      REQUIRE(future(warmed, seed + 100) == future(used, seed + 100));
    }
  }
}

TEMPLATE_TEST_CASE("by_worth names every resident once, of any policy", "[property][warm_start]", buddy::eviction::lru,
                   buddy::eviction::lfu, buddy::eviction::arc, buddy::eviction::s3_fifo) {
  for (auto const& budget : budgets()) {
    for (std::uint64_t seed = 1; seed != 21; ++seed) {
      auto const cache = used_cache<TestType>(budget, seed);
      auto saved = cache.by_worth();
      REQUIRE(cache.by_worth() == saved);  // asking changes nothing
      std::sort(saved.begin(), saved.end());
      REQUIRE(saved == residents(cache));
    }
  }
}

TEST_CASE("by_worth begins with who would leave next", "[property][warm_start]") {
  for (std::uint64_t seed = 1; seed != 21; ++seed) {
    auto cache = used_cache<buddy::eviction::lru>(budgets()[1], seed);
    cache.begin_batch({99, 0, shape.n_layers});
    auto const before = cache.by_worth();
    REQUIRE(before.size() == 17);
    buddy::expert_key newcomer{};
    while (cache.where(newcomer) != buddy::residency::absent) ++newcomer.expert;
    REQUIRE(cache.reserve(newcomer) != buddy::no_slot);
    CHECK(cache.where(before.front()) == buddy::residency::absent);
    CHECK(cache.by_worth() == keys(before.begin() + 1, before.end()));  // what is in flight is not listed
  }
}

TEST_CASE("worthiest_that_fit keeps the last and their order", "[property][warm_start]") {
  // Records of 10 (layer 0), 30 and 17 bytes. 45 bytes, from the last on: 17 + 10, not 30, and 17 make 44.
  buddy::slot_cache<buddy::eviction::lru> cache(shape, budgets()[2]);
  buddy::slot_cache<buddy::eviction::lru> small(
      shape, {.bytes = 45, .layout = buddy::pool_layout::global, .layer_bytes = {10, 30, 17}});
  keys const saved{{0, 0}, {1, 0}, {2, 1}, {0, 2}, {1, 3}, {0, 2}, {2, 3}};
  CHECK(small.worthiest_that_fit(viewed(saved)) == keys{{2, 1}, {0, 2}, {2, 3}});
  CHECK(cache.worthiest_that_fit(viewed(saved)) == keys{{0, 0}, {1, 0}, {2, 1}, {1, 3}, {0, 2}, {2, 3}});
}

TEST_CASE("a cache is at rest when nothing is leased or in flight", "[property][warm_start]") {
  buddy::slot_cache<buddy::eviction::lru> cache(shape, budgets()[0]);
  CHECK(cache.at_rest());
  auto const s = cache.reserve({0, 0});
  CHECK_FALSE(cache.at_rest());
  cache.commit(s);
  CHECK(cache.at_rest());
  cache.lease(s);
  CHECK_FALSE(cache.at_rest());
  cache.release(s);
  CHECK(cache.at_rest());
}
