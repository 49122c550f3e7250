// SPDX-License-Identifier: Apache-2.0
// Which policies collapse below one token cycle is measured, for all of them.
#include "catch.hpp"
#include "eviction_models.hpp"
#include "random_traces.hpp"

#include <buddy/buddy.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace {

constexpr auto global = buddy::pool_layout::global;

buddy::cache_budget global_slots(std::uint64_t slots) { return {.bytes = slots, .layout = global}; }

template <class... Evictions>
std::set<std::string_view> collapsing(buddy::model_shape const& shape, std::uint64_t slots, std::tuple<Evictions...>*) {
  std::set<std::string_view> names;
  auto const add = [&](std::string_view name, bool collapses) {
    if (collapses) names.insert(name);
  };
  (add(Evictions::name, buddy::check_cliff<Evictions>(shape, global_slots(slots)).collapses()), ...);
  return names;
}

}  // namespace

TEST_CASE("below one token cycle nearly all policies collapse, and these do not", "[property][cliff]") {
  // The shares of Qwen3-30B-A3B (48 layers, top-6 of 128; 184 of 288 slots are 3 % of its experts) and of smaller ones.
  auto const shape =
      GENERATE(buddy::model_shape{48, 128, 6, 1}, buddy::model_shape{24, 32, 4, 1}, buddy::model_shape{32, 8, 2, 1});
  std::uint64_t const slots = buddy::token_cycle(shape) * 184 / 288;
  plain_evictions* const all = nullptr;
  CHECK(collapsing(shape, slots, all) == std::set<std::string_view>{"arc", "clock", "fifo", "least_stale", "lfru",
                                                                    "lfu", "lfu_decayed", "lru", "lru_ds", "sieve",
                                                                    "slru", "window_hot"});
  // Not s3_fifo at this size: its ghosts send who comes back past the queue that the others run through.
  // Counts that outlive residency see who comes back; lru_token keeps what the rest of the token will ask for.
  CHECK_FALSE(buddy::check_cliff<buddy::eviction::lfu>(shape, global_slots(slots), shape).collapses());
  CHECK_FALSE(buddy::check_cliff<buddy::eviction::lfu_decayed>(shape, global_slots(slots), shape, 32.0).collapses());
  CHECK_FALSE(buddy::check_cliff<buddy::eviction::lru_token>(shape, global_slots(slots)).collapses());
  // From one cycle on nobody is warned of anything.
  CHECK(collapsing(shape, buddy::token_cycle(shape), all).empty());
}

TEST_CASE("below one token cycle a global LRU pool has no hit at all", "[property][cliff]") {
  buddy::model_shape const shape{.n_layers = 4, .n_experts = 16, .top_k = 3, .expert_bytes = 1};
  auto const trace = random_trace(shape, habit::sticky, 200, 61);
  auto const hits = [&](std::uint64_t slots) {
    buddy::replayer<buddy::eviction::lru> cache(shape, global_slots(slots));
    cache.run(trace);
    return cache.total().hits;
  };
  // A token asks for 12; an expert that the next token asks for again has 9 to 11 other experts in between.
  CHECK(buddy::token_cycle(shape) == 12);
  CHECK(hits(9) == 0);
  CHECK(hits(12) > 0);
}

TEST_CASE("the warning says what is wrong, in numbers", "[property][cliff]") {
  buddy::model_shape const shape{.n_layers = 4, .n_experts = 16, .top_k = 3, .expert_bytes = 1};
  auto const check = buddy::check_cliff<buddy::eviction::lru>(shape, global_slots(9));
  CHECK(check.slots == 9);
  CHECK(check.cycle == 12);
  CHECK(check.hits == 0);
  std::string const text = buddy::cliff_warning(check, "lru");
  CHECK(text.find("pool of 9 slots") != std::string::npos);
  CHECK(text.find("12 experts") != std::string::npos);
  CHECK(text.find("'lru'") != std::string::npos);
  CHECK(buddy::cliff_warning(buddy::check_cliff<buddy::eviction::lru>(shape, global_slots(12)), "lru").empty());
}

TEST_CASE("a per-layer pool has its cycle at top_k", "[property][cliff]") {
  buddy::model_shape const shape{.n_layers = 2, .n_experts = 16, .top_k = 3, .expert_bytes = 1};
  CHECK_FALSE(buddy::check_cliff<buddy::eviction::lru>(shape, {.bytes = 6}).below_cycle());
  auto const uneven = buddy::check_cliff<buddy::eviction::lru>(shape, {.bytes = 6, .layer_slots = {4, 2}});
  CHECK(uneven.below_cycle());
  CHECK(uneven.slots == 2);
}
