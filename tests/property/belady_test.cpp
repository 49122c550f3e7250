// SPDX-License-Identifier: Apache-2.0
// No policy that fetches every miss hits more often than one that knows the future.
#include "catch.hpp"
#include "property/chosen_model.hpp"
#include "property/random_routing.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

namespace {

/// Hits of one pool that gives up the expert asked for again last (Belady, IBM Systems Journal 5(2), 1966).
std::uint64_t belady_hits(std::vector<std::uint16_t> const& trace, std::size_t slots) {
  std::set<std::uint16_t> held;
  std::uint64_t hits = 0;
  for (std::size_t i = 0; i != trace.size(); ++i) {
    auto const next_use = [&](std::uint16_t e) {
      return std::find(trace.begin() + static_cast<std::ptrdiff_t>(i) + 1, trace.end(), e) - trace.begin();
    };
    if (held.count(trace[i]) != 0) {
      ++hits;
      continue;
    }
    if (held.size() == slots) {
      held.erase(
          *std::max_element(held.begin(), held.end(), [&](auto a, auto b) { return next_use(a) < next_use(b); }));
    }
    held.insert(trace[i]);
  }
  return hits;
}

constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = 12, .top_k = 1, .expert_bytes = 10};

std::vector<std::uint16_t> random_trace(std::uint64_t seed) {
  random_routing routing(shape, 1, seed);
  std::vector<std::uint16_t> trace;
  for (int i = 0; i != 300; ++i) trace.push_back(routing.next().experts[0]);
  return trace;
}

std::uint64_t hits(std::size_t eviction, std::vector<std::uint16_t> const& trace, std::size_t slots) {
  chosen::policy policy{shape,
                        buddy::slot_cache<chosen::eviction>(shape, {.bytes = slots * shape.expert_bytes}, eviction),
                        chosen::predictor(shape, 0),
                        chosen::gate{},
                        chosen::selector{},
                        {.exact = true}};
  float const weight = 1.0F;
  for (std::uint16_t const e : trace) {
    policy.begin_step();
    for (auto const& c : policy.resolve(0, {{&e, 1}, {&weight, 1}}).fetches) policy.commit(c);
  }
  return policy.total().hits;
}

}  // namespace

TEST_CASE("belady by hand", "[property][eviction]") {
  // Two slots, 0 1 2 0 1 2: at 2 the cache holds 0 and 1 and gives up 1 (asked for last): 0 hits; at 1 it gives up 0,
  // which never comes again, so 2 hits.
  CHECK(belady_hits({0, 1, 2, 0, 1, 2}, 2) == 2);
  CHECK(belady_hits({0, 1, 2, 0, 1, 2}, 3) == 3);
}

TEST_CASE("no eviction policy hits more often than belady", "[property][eviction]") {
  auto const seed = static_cast<std::uint64_t>(GENERATE(range(1, 6)));
  auto const trace = random_trace(seed);
  for (std::size_t const slots : {1U, 3U, 6U, 11U}) {
    auto const bound = belady_hits(trace, slots);
    for (std::size_t e = 0; e != chosen::n_evictions; ++e) {
      INFO(chosen::name_of<chosen::evictions>(e) << ", " << slots << " slots");
      CHECK(hits(e, trace, slots) <= bound);
    }
  }
}

TEST_CASE("every eviction policy is belady's equal when nothing has to leave", "[property][eviction]") {
  auto const trace = random_trace(7);
  auto const distinct = std::set<std::uint16_t>(trace.begin(), trace.end()).size();
  for (std::size_t e = 0; e != chosen::n_evictions; ++e) CHECK(hits(e, trace, 12) == trace.size() - distinct);
}
