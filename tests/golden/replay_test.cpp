// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/policies/eviction/lru.hpp>
#include <buddy/replay.hpp>

#include <cstdint>
#include <vector>

namespace {

constexpr buddy::model_shape model{.n_layers = 2, .n_experts = 4, .top_k = 2, .expert_bytes = 1};

/// Three tokens; the second has no record at layer 1.
buddy::routing_trace three_tokens() {
  buddy::routing_trace trace;
  trace.n_layers = 2, trace.n_experts = 4, trace.top_k = 2;
  auto const none = buddy::no_expert;
  trace.experts = {0, 1, 2,    3,     //
                   1, 2, none, none,  //
                   0, 1, 3,    0};
  trace.sequence_lengths = {3};
  return trace;
}

}  // namespace

TEST_CASE("replay of three tokens with two slots a layer", "[golden][replay]") {
  // layer 0: 0 and 1 enter; 1 hits and 2 takes the place of 0, the older; 0 takes the place of 2, since 1 hits too.
  // layer 1: 2 and 3 enter; 3 hits and 0 takes the place of 2.
  auto const counts = buddy::replay_hits<buddy::eviction::lru>(three_tokens(), model, {.bytes = 4});
  REQUIRE(counts.size() == 2);
  CHECK(counts[0] == buddy::replay_count{.lookups = 6, .hits = 2, .compulsory = 3, .staged = 0});
  CHECK(counts[1] == buddy::replay_count{.lookups = 4, .hits = 1, .compulsory = 3, .staged = 0});
  CHECK(counts[0].misses() == 4);
}

TEST_CASE("replay stages what finds no slot", "[golden][replay]") {
  // One slot for all layers. Token 0: 0 enters and 1, of the same batch, is staged; 2 takes the slot, 3 is staged.
  // Token 1: 1 and 2 miss, 1 enters. Token 2: 1 hits and 0 is staged; 3 takes the slot and 0 of layer 1 is staged.
  auto const counts = buddy::replay_hits<buddy::eviction::lru>(three_tokens(), model,
                                                               {.bytes = 1, .layout = buddy::pool_layout::global});
  CHECK(counts[0] == buddy::replay_count{.lookups = 6, .hits = 1, .compulsory = 3, .staged = 3});
  CHECK(counts[1] == buddy::replay_count{.lookups = 4, .hits = 0, .compulsory = 3, .staged = 2});
}

TEST_CASE("replay of a warm cache keeps counting from where it was cleared", "[golden][replay]") {
  buddy::replayer<buddy::eviction::lru> cache(model, {.bytes = 4});
  std::vector<buddy::expert_key> const keys{{0, 1}, {0, 0}, {0, 3}, {1, 3}};  // the third finds no slot
  cache.warm({keys.data(), 4});
  cache.run(three_tokens(), {.first = 0, .count = 1});
  // Layer 0 hits twice. Layer 1: 3 hits, 2 enters and was never held.
  CHECK(cache.total() == buddy::replay_count{.lookups = 4, .hits = 3, .compulsory = 1, .staged = 0});
  cache.clear_counts();
  cache.run(three_tokens(), {.first = 1, .count = 1});
  // 1 hits, and 2 takes the place of 0.
  CHECK(cache.total() == buddy::replay_count{.lookups = 2, .hits = 1, .compulsory = 1, .staged = 0});
}

TEST_CASE("replay refuses a trace of another shape", "[golden][replay]") {
  buddy::replayer<buddy::eviction::lru> cache({.n_layers = 2, .n_experts = 5, .top_k = 2, .expert_bytes = 1},
                                              {.bytes = 4});
  CHECK_THROWS_AS(cache.run(three_tokens()), buddy::config_error);
}
