// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/reuse_distances.hpp>

#include <cstdint>
#include <vector>

TEST_CASE("reuse distances of a trace by hand", "[golden][reuse_distances]") {
  // top_k 2 of 4 experts; the order after each token has the later slot on top.
  //   token  asks   depths before it     order after it
  //   1      0 1    first, first         1 0
  //   2      1 2    1, first             2 1 0
  //   3      0 2    3, 1                 2 0 1
  //   4      3 1    first, 3             1 3 2 0
  //   5      2 0    3, 4                 0 2 1 3
  buddy::routing_trace trace;
  trace.n_layers = 1, trace.n_experts = 4, trace.top_k = 2;
  trace.experts = {0, 1, 1, 2, 0, 2, 3, 1, 2, 0};
  trace.sequence_lengths = {5};
  buddy::reuse_distances distances({.n_layers = 1, .n_experts = 4, .top_k = 2, .expert_bytes = 1});
  distances.observe(trace);
  auto const histogram = distances.histogram(0);
  CHECK(std::vector<std::uint64_t>(histogram.begin(), histogram.end()) == std::vector<std::uint64_t>{4, 2, 0, 3, 1});
  // From two slots on the sums of the histogram. One slot holds 0 after token 1 (it came first and 1 found no room),
  // 1 after token 2, 0 after token 3, 3, then 2: it never hits.
  auto const curve = distances.curve(0);
  CHECK(curve.hits == std::vector<std::uint64_t>{0, 0, 2, 5, 6});
  CHECK(curve.lookups == 10);
  CHECK(curve.first_uses == 4);
  CHECK(curve.rate(3) == 0.5);
}

TEST_CASE("reuse distances refuse a trace of another shape", "[golden][reuse_distances]") {
  buddy::routing_trace trace;
  trace.n_layers = 1, trace.n_experts = 4, trace.top_k = 2;
  buddy::reuse_distances distances({.n_layers = 1, .n_experts = 5, .top_k = 2, .expert_bytes = 1});
  CHECK_THROWS_AS(distances.observe(trace), buddy::config_error);
}
