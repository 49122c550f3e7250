// SPDX-License-Identifier: Apache-2.0
// Choosing for each layer, on traces whose layers want different policies.
#include "catch.hpp"
#include "random_traces.hpp"

#include <buddy/buddy.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/testing/eviction_laws.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using buddy::eviction::lru;
constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 24, .top_k = 1, .expert_bytes = 1};

/// Counts outlive eviction: who is let in late can still rise.
struct lfu : buddy::eviction::lfu {
  explicit lfu(std::size_t capacity) : buddy::eviction::lfu(capacity, shape) {}
};
using lru_or_lfu = buddy::eviction::adaptive<lru, lfu>;

/// Looks back every few steps by itself: what a host does between two steps.
template <class Adaptive, std::uint64_t Steps>
struct by_itself : Adaptive {
  using Adaptive::Adaptive;
  void on_step(buddy::step_clock const& now) noexcept {
    if (now.step != last && now.step % Steps == 0) this->reconsider();
    last = now.step;
    Adaptive::on_step(now);
  }
  std::uint64_t last = 0;
};

/// Layer 0 for lru: eight experts in turn at random, another eight every 50 tokens. Layer 1 for lfu: six experts half
/// of the time, and in between a scan of all, which fools lru.
buddy::routing_trace mixed_trace(int n_tokens, std::uint64_t seed) {
  buddy::testing::dice dice(seed);
  buddy::routing_trace trace;
  trace.n_layers = 2, trace.n_experts = 24, trace.top_k = 1;
  trace.sequence_lengths = {static_cast<std::uint32_t>(n_tokens)};
  for (int t = 0; t != n_tokens; ++t) {
    trace.experts.push_back(static_cast<std::uint16_t>((t / 50 * 8 + static_cast<int>(dice.roll(8))) % 24));
    auto const scanned = static_cast<std::uint16_t>(6 + t / 2 % 18);
    trace.experts.push_back(t % 2 == 0 ? scanned : static_cast<std::uint16_t>(dice.roll(6)));
  }
  return trace;
}

template <class Eviction>
std::vector<std::uint64_t> hits_by_layer(buddy::routing_trace const& trace, buddy::cache_budget const& budget) {
  std::vector<std::uint64_t> hits;
  for (auto const& count : buddy::replay_hits<Eviction>(trace, trace.shape(1), budget)) hits.push_back(count.hits);
  return hits;
}

}  // namespace

TEST_CASE("adaptive keeps the laws across switches", "[property][adaptive]") {
  auto const capacity = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{64});
  auto const seed = GENERATE(1U, 2U, 3U);
  using all = buddy::eviction::adaptive<lru, buddy::eviction::arc, buddy::eviction::sieve, buddy::eviction::s3_fifo,
                                        buddy::eviction::lfu, buddy::eviction::lru_token>;
  int switches = 0;
  auto const make = [](std::size_t n) { return by_itself<all, 3>(n, {.window = 64, .margin_percent = 0}); };
  CHECK(buddy::testing::broken_eviction_law(make, capacity, seed) == "");
  // The trial makes no cache of its own: this one shows that the above does switch.
  buddy::replayer<by_itself<all, 3>> cache(shape, {.bytes = 2 * 6}, buddy::eviction::adaptive_options{64, 0});
  cache.run(mixed_trace(400, seed));
  switches += static_cast<int>(cache.eviction(0).report().switches + cache.eviction(1).report().switches);
  CHECK(switches > 1);
}

TEST_CASE("adaptive is as good as the better candidate of each layer, but for what learning costs",
          "[property][adaptive]") {
  auto const seed = GENERATE(std::uint64_t{71}, std::uint64_t{72}, std::uint64_t{73});
  int const n_tokens = 4000;
  auto const trace = mixed_trace(n_tokens, seed);
  buddy::cache_budget const budget{.bytes = 2 * 8};
  auto const by_lru = hits_by_layer<lru>(trace, budget);
  auto const by_lfu = hits_by_layer<lfu>(trace, budget);
  REQUIRE(by_lru[0] > by_lfu[0] + 400);  // each layer has its favourite, by a tenth of the look-ups
  REQUIRE(by_lfu[1] > by_lru[1] + 400);
  buddy::replayer<by_itself<lru_or_lfu, 32>> cache(shape, budget);
  cache.run(trace);
  // 2 % of the look-ups: two windows of 32 to learn in, and residents that the other would not have kept.
  auto const loss = static_cast<std::uint64_t>(n_tokens / 50);
  CHECK(cache.counts()[0].hits + loss >= by_lru[0]);
  CHECK(cache.counts()[1].hits + loss >= by_lfu[1]);
  CHECK(cache.total().hits > std::max(by_lru[0] + by_lru[1], by_lfu[0] + by_lfu[1]));  // than either alone
  CHECK(cache.eviction(0).report().names[cache.eviction(0).report().chosen] == "lru");
  CHECK(cache.eviction(1).report().names[cache.eviction(1).report().chosen] == "lfu");
  CHECK(cache.eviction(0).report().switches <= 2);  // it does not flap
  CHECK(cache.eviction(1).report().switches <= 3);
}

TEST_CASE("below the cliff of a global pool adaptive leaves the policy that collapses", "[property][adaptive]") {
  buddy::model_shape const wide{.n_layers = 8, .n_experts = 16, .top_k = 2, .expert_bytes = 1};
  auto const trace = random_trace(wide, habit::sticky, 600, 81);
  buddy::cache_budget const budget{.bytes = 10, .layout = buddy::pool_layout::global};  // of a cycle of 16
  using lru_or_token = buddy::eviction::adaptive<lru, buddy::eviction::lru_token>;
  buddy::replayer<lru> collapsed(wide, budget);
  buddy::replayer<by_itself<lru_or_token, 32>> cache(wide, budget);
  buddy::replayer<buddy::eviction::lru_token> best(wide, budget);
  collapsed.run(trace), cache.run(trace), best.run(trace);
  CHECK(collapsed.total().hits == 0);
  CHECK(cache.total().hits * 100 >=
        best.total().hits * 90);  // 32 to 64 of 600 tokens are lost before the first look back
  CHECK(cache.eviction(0).report().hits[0] == 0);
  CHECK(cache.eviction(0).report().chosen == 1);
}

TEST_CASE("adaptive counts in its shadow what a cache of the candidate would hit", "[property][adaptive]") {
  // One window that holds the whole trace: the shadows are the candidates' caches.
  buddy::model_shape const model{.n_layers = 3, .n_experts = 12, .top_k = 3, .expert_bytes = 1};
  using buddy::eviction::lfu;
  using lru_or_counts = buddy::eviction::adaptive<lru, lfu>;
  auto const trace = random_trace(model, habit::sticky, 300, 91);
  for (auto const layout : {buddy::pool_layout::per_layer, buddy::pool_layout::global}) {
    buddy::cache_budget const budget{.bytes = 15, .layout = layout};
    buddy::replayer<lru_or_counts> cache(model, budget, buddy::eviction::adaptive_options{.window = 4096});
    cache.run(trace);
    std::uint64_t by_lru = 0;
    std::uint64_t by_lfu = 0;
    for (std::uint16_t l = 0; l != (layout == buddy::pool_layout::global ? 1 : 3); ++l) {
      cache.eviction(l).reconsider();
      by_lru += cache.eviction(l).report().hits[0];
      by_lfu += cache.eviction(l).report().hits[1];
    }
    buddy::replayer<lru> real_lru(model, budget);
    buddy::replayer<lfu> real_lfu(model, budget);
    real_lru.run(trace), real_lfu.run(trace);
    CHECK(by_lru == real_lru.total().hits);
    CHECK(by_lfu == real_lfu.total().hits);
  }
}
