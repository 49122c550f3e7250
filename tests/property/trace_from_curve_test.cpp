// SPDX-License-Identifier: Apache-2.0
// A generated trace hits as often as the curve says, in every layer and for every number of slots.
#include "catch.hpp"
#include "random_traces.hpp"

#include <buddy/buddy.hpp>
#include <buddy/testing/trace_from_curve.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 32, .top_k = 4, .expert_bytes = 1};

/// Hits and look-ups of LRU, replayed at every capacity; first uses may miss wherever they stand.
void check_reproduces(buddy::routing_trace const& trace, std::vector<std::vector<double>> const& rates,
                      std::uint32_t n_tokens) {
  // Hoeffding: all of 2 x 32 rates at once with probability 1 - 64 x 2 exp(-2 N t^2) = 1 - 10^-6.
  double const t = std::sqrt(std::log(64 * 2 / 1e-6) / (2.0 * n_tokens));
  double const lookups = static_cast<double>(n_tokens) * shape.top_k;
  double const cold = shape.n_experts / lookups;
  for (std::uint32_t c = shape.top_k; c <= shape.n_experts;
       ++c) {  // below, a batch does not fit: no curve describes it
    buddy::replayer<buddy::eviction::lru> cache(shape, {.bytes = 2 * c});
    cache.run(trace);
    for (std::size_t l = 0; l != 2; ++l) {
      double const rate = static_cast<double>(cache.counts()[static_cast<std::uint32_t>(l)].hits) / lookups;
      double const wanted = rates[rates.size() == 1 ? 0 : l][c];
      CHECK(rate <= wanted + t);
      CHECK(rate >= wanted - t - cold);
    }
  }
}

}  // namespace

TEST_CASE("a generated trace has the hit rates that it was given", "[property][trace_from_curve]") {
  auto const seed = GENERATE(std::uint64_t{101}, std::uint64_t{102});
  // A steep curve and a flat one, both reaching 1 with all experts.
  buddy::testing::curve_point const steep[]{{4, 0.5}, {8, 0.75}, {16, 0.9}, {32, 1.0}};
  buddy::testing::curve_point const flat[]{{4, 0.05}, {16, 0.4}, {32, 1.0}};
  std::vector<std::vector<double>> const rates{buddy::testing::rates_through({steep, 4}, 32),
                                               buddy::testing::rates_through({flat, 3}, 32)};
  std::uint32_t const n_tokens = 20'000;
  check_reproduces(buddy::testing::trace_from_curves(shape, rates, n_tokens, seed), rates, n_tokens);
}

TEST_CASE("a trace made like another hits like it", "[property][trace_from_curve]") {
  auto const how = GENERATE(habit::skewed, habit::sticky);
  std::vector<std::vector<double>> rates;
  buddy::reuse_distances distances(shape);
  distances.observe(random_trace(shape, how, 20'000, 111));
  for (std::size_t l = 0; l != 2; ++l) rates.push_back(buddy::testing::rates_of(distances.histogram(l)));
  check_reproduces(buddy::testing::trace_from_curves(shape, rates, 20'000, 112), rates, 20'000);
}

TEST_CASE("a generated trace is a trace: distinct experts, falling weights, the same for the same seed",
          "[property][trace_from_curve]") {
  buddy::testing::curve_point const points[]{{8, 0.6}, {32, 0.9}};
  std::vector<std::vector<double>> const rates{buddy::testing::rates_through({points, 2}, 32)};
  auto const trace = buddy::testing::trace_from_curves(shape, rates, 300, 121);
  CHECK(trace == buddy::testing::trace_from_curves(shape, rates, 300, 121));
  CHECK(trace.experts != buddy::testing::trace_from_curves(shape, rates, 300, 122).experts);
  for (std::size_t t = 0; t != 300; ++t) {
    for (std::uint16_t l = 0; l != 2; ++l) {
      auto const r = trace.at(t, l);
      std::vector<std::uint16_t> ids(r.experts.begin(), r.experts.end());
      std::sort(ids.begin(), ids.end());
      CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
      CHECK(ids.back() < 32);
      CHECK(r.weights[0] == 0.4F);  // 4 of 4 + 3 + 2 + 1
      CHECK(std::is_sorted(r.weights.begin(), r.weights.end(), [](float a, float b) { return a > b; }));
    }
  }
}

TEST_CASE("depths are used as often as the curve has them, none twice", "[property][trace_from_curve]") {
  // Top-2 of 4. Half of the look-ups at depth 1 is every token; .75 there would be 1.5 a token: half moves on.
  buddy::model_shape const small{.n_layers = 1, .n_experts = 4, .top_k = 2, .expert_bytes = 1};
  CHECK(buddy::testing::depth_use({0, 0.5, 0.75, 0.75, 1.0}, small) == std::vector<double>{1.0, 0.5, 0.0, 0.5});
  CHECK(buddy::testing::depth_use({0, 0.75, 0.75, 0.75, 1.0}, small) == std::vector<double>{1.0, 0.5, 0.0, 0.5});
  // Half is hit by no pool: the deepest take it, the last first.
  CHECK(buddy::testing::depth_use({0, 0.25, 0.25, 0.25, 0.25}, small) == std::vector<double>{0.5, 0.0, 0.5, 1.0});
  CHECK_THROWS_AS(buddy::testing::depth_use({0, 1.0}, small), buddy::config_error);
  CHECK_THROWS_AS(buddy::testing::depth_use({0, 0.5, 0.4, 0.5, 1.0}, small), buddy::config_error);
  buddy::testing::curve_point const falling[]{{2, 0.5}, {4, 0.4}};
  CHECK_THROWS_AS(buddy::testing::rates_through({falling, 2}, 4), buddy::config_error);
}
