// SPDX-License-Identifier: Apache-2.0
// One pass over the order of last use gives the hits of a real LRU cache of every size.
#include "catch.hpp"
#include "random_traces.hpp"

#include <buddy/buddy.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using buddy::pool_layout;

/// Hits of each layer in a whole policy that fetches every miss.
std::vector<std::uint64_t> policy_hits(buddy::routing_trace const& trace, buddy::model_shape const& shape,
                                       buddy::cache_budget const& budget) {
  buddy::policy policy{shape, buddy::slot_cache<buddy::eviction::lru>(shape, budget), buddy::prediction::none(shape),
                       buddy::sensitivity::never{}, buddy::selection::none{}};
  std::vector<float> const weights(shape.top_k, 1.0F);
  for (std::size_t t = 0; t != trace.n_tokens(); ++t) {
    policy.begin_step();
    for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
      auto const& plan = policy.resolve(l, {trace.at(t, l).experts, {weights.data(), shape.top_k}});
      for (auto const& copy : plan.fetches) policy.commit(copy);
    }
  }
  std::vector<std::uint64_t> hits;
  for (std::uint16_t l = 0; l != shape.n_layers; ++l) hits.push_back(policy.counters(l).hits);
  return hits;
}

}  // namespace

TEST_CASE("the curve of a layer is what a real LRU cache of every size hits", "[property][reuse_distances]") {
  auto const how = GENERATE(habit::uniform, habit::skewed, habit::sticky);
  auto const top_k = GENERATE(std::uint16_t{1}, std::uint16_t{2}, std::uint16_t{5});
  auto const seed = GENERATE(std::uint64_t{11}, std::uint64_t{12});
  buddy::model_shape const shape{.n_layers = 2, .n_experts = 14, .top_k = top_k, .expert_bytes = 1};
  auto const trace = random_trace(shape, how, 300, seed);
  auto const curves = buddy::lru_hit_curves(trace);
  REQUIRE(curves.size() == 2);
  for (std::uint32_t c = 1; c <= shape.n_experts; ++c) {
    auto const real = policy_hits(trace, shape, {.bytes = 2U * c});
    CHECK(curves[0].hits[c] == real[0]);
    CHECK(curves[1].hits[c] == real[1]);
  }
}

TEST_CASE("the curve of a global pool is what a real LRU cache of every size hits", "[property][reuse_distances]") {
  auto const how = GENERATE(habit::uniform, habit::sticky);
  auto const seed = GENERATE(std::uint64_t{21}, std::uint64_t{22});
  buddy::model_shape const shape{.n_layers = 3, .n_experts = 9, .top_k = 3, .expert_bytes = 1};
  auto const trace = random_trace(shape, how, 200, seed);
  auto const curves = buddy::lru_hit_curves(trace, pool_layout::global);
  REQUIRE(curves.size() == 1);
  for (std::uint32_t c = 1; c <= 27; ++c) {
    std::uint64_t real = 0;
    for (auto const hits : policy_hits(trace, shape, {.bytes = c, .layout = pool_layout::global})) real += hits;
    CHECK(curves[0].hits[c] == real);
  }
}

TEST_CASE("counts after a warm-up are those of the rest alone", "[property][reuse_distances]") {
  buddy::model_shape const shape{.n_layers = 2, .n_experts = 12, .top_k = 3, .expert_bytes = 1};
  auto const trace = random_trace(shape, habit::sticky, 200, 31);
  buddy::reuse_distances all(shape);
  all.observe(trace);
  buddy::reuse_distances first(shape);
  first.observe(trace, {0, 70});
  auto rest = first;
  rest.clear_counts();
  rest.observe(trace, {70});
  for (std::size_t l = 0; l != 2; ++l)
    for (std::size_t c = 0; c <= 12; ++c) CHECK(first.curve(l).hits[c] + rest.curve(l).hits[c] == all.curve(l).hits[c]);
}
