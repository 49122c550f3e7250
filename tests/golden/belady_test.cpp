// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/eviction/belady.hpp>
#include <buddy/policies/eviction/lru.hpp>

#include <vector>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::belady;
using buddy::eviction::future_use;
using buddy::eviction::known_future;

namespace {

constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 4, .top_k = 1, .expert_bytes = 1};

known_future future_of(std::vector<future_use> const& uses) {
  return {shape, {uses.data(), static_cast<std::uint32_t>(uses.size())}};
}

}  // namespace

TEST_CASE("belady gives up what is asked for last", "[golden][belady]") {
  // 2 slots, steps 1 to 6 ask for a b c a b c. Step 3: a comes at 4, b at 5: b leaves. Step 4: a hits. Step 5: a never
  // comes again: it leaves. Step 6: c hits.  2 hits, where LRU has none.
  expert_key const a{0, 0}, b{0, 1}, c{0, 2};
  std::vector<future_use> uses;
  for (auto const k : {a, b, c, a, b, c}) uses.push_back({uses.size() + 1, k});
  auto const future = future_of(uses);
  small_pool pool(2, belady(2, future));
  small_pool recent(2, buddy::eviction::lru(2));
  int hits = 0;
  int recent_hits = 0;
  for (auto const& use : uses) {
    hits += pool.ask({use.step, 0, 2}, {use.expert});
    recent_hits += recent.ask({use.step, 0, 2}, {use.expert});
  }
  CHECK(hits == 2);
  CHECK(recent_hits == 0);
}

TEST_CASE("belady counts the layers of a step as time", "[golden][belady]") {
  // 2 slots for both layers. Step 1: a (layer 0), b (layer 1). Step 2: c (layer 0). Step 3: a, then b.
  // At c, a comes at step 3, layer 0, and b after it: b leaves, where LRU gives up a.
  expert_key const a{0, 0}, b{1, 0}, c{0, 1};
  auto const future = future_of({{3, b}, {3, a}, {2, c}, {1, b}, {1, a}});
  small_pool pool(2, belady(2, future));
  pool.ask({1, 0, 2}, {a});
  pool.ask({1, 1, 2}, {b});
  pool.ask({2, 0, 2}, {c});
  CHECK(pool.ask({3, 0, 2}, {a}) == 1);
  CHECK(pool.ask({3, 1, 2}, {b}) == 0);
  // Neither a nor c is asked for any more: the lower (layer, expert) left for b, and c is lower than b
  CHECK_FALSE(pool.holds(a));
  CHECK(pool.next() == c);
}

TEST_CASE("belady looks further when a foretold use did not happen", "[golden][belady]") {
  // a at 1, 2, 9; b at 1, 3. In step 2 nobody asks for a after all: from there a comes at 9, b at 3.
  expert_key const a{0, 0}, b{0, 1};
  auto const future = future_of({{1, a}, {2, a}, {9, a}, {1, b}, {3, b}});
  small_pool pool(2, belady(2, future));
  pool.ask({1, 0, 2}, {a, b});
  CHECK(pool.next() == b);
  pool.ask({2, 0, 2}, {});
  CHECK(pool.next() == a);
}

TEST_CASE("a known future reads a trace as one step a token", "[golden][belady]") {
  // 2 tokens, 2 layers, top-1; token 0 has no record at layer 1.  Instants: step * 2 + layer + 1.
  buddy::routing_trace trace;
  trace.n_layers = 2;
  trace.n_experts = 4;
  trace.top_k = 1;
  trace.experts = {3, buddy::no_expert, 3, 2};
  auto const future = known_future::of(trace);
  CHECK(future.next_use({0, 3}, 0) == 3);  // step 1, layer 0
  CHECK(future.next_use({0, 3}, 3) == 5);  // strictly after: step 2, layer 0
  CHECK(future.next_use({0, 3}, 5) == known_future::never);
  CHECK(future.next_use({1, 2}, 0) == 6);  // step 2, layer 1
  CHECK(future.next_use({1, 3}, 0) == known_future::never);
  CHECK(known_future::of(trace, 0).next_use({0, 3}, 0) == 1);
  CHECK(known_future::of(trace, 1, 1).next_use({1, 2}, 0) == known_future::never);
}

TEST_CASE("a known future refuses experts that the model does not have", "[golden][belady]") {
  CHECK_THROWS_AS(future_of({{1, {2, 0}}}), buddy::config_error);
  CHECK_THROWS_AS(future_of({{1, {0, 4}}}), buddy::config_error);
  CHECK_THROWS_AS(known_future({}, {}), buddy::config_error);
}
