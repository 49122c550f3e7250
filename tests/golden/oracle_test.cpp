// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/policies/prediction/oracle.hpp>

#include <utility>
#include <vector>

using buddy::no_expert;
using buddy::routing_trace;
using buddy::prediction::oracle;

namespace {

using ids = std::vector<std::uint16_t>;

/// A trace of layers of `n_experts`, top-2.
routing_trace trace_of(std::uint16_t n_layers, std::uint16_t n_experts, ids experts) {
  routing_trace t;
  t.n_layers = n_layers;
  t.n_experts = n_experts;
  t.top_k = 2;
  t.experts = std::move(experts);
  return t;
}

ids predicted(oracle& o, std::uint16_t layer, std::uint32_t width = 6) {
  ids out(width);
  out.resize(o.predict(layer, {out.data(), width}));
  return out;
}

}  // namespace

TEST_CASE("oracle names the next token's experts", "[golden][oracle]") {
  // 3 tokens; the second has no record at layer 1
  auto const trace = trace_of(2, 6, {0, 1, 2, 3, 4, 5, no_expert, no_expert, 1, 0, 3, 5});
  oracle o(trace, 1.0);
  CHECK(predicted(o, 0) == ids{0, 1});
  CHECK(predicted(o, 0, 1) == ids{0});
  CHECK(predicted(o, 1) == ids{2, 3});
  o.observe(0, trace.at(0, 0));
  o.observe(1, trace.at(0, 1));
  CHECK(predicted(o, 0) == ids{4, 5});
  CHECK(predicted(o, 1) == ids{3, 5});  // over the gap
  o.observe(0, trace.at(1, 0));
  o.observe(0, trace.at(2, 0));
  CHECK(predicted(o, 0).empty());
  CHECK_THROWS_AS(oracle(trace, 1.5), buddy::config_error);
}

TEST_CASE("oracle is wrong as often as it is told to be", "[golden][oracle]") {
  // 20,000 slots at recall 0.9: the standard error of the share is sqrt(0.09 / 20000) = 0.0021; 5 of them.
  ids experts;
  for (unsigned t = 0; t != 10000; ++t) {
    experts.push_back(static_cast<std::uint16_t>(t % 16));
    experts.push_back(static_cast<std::uint16_t>((t + 5) % 16));
  }
  auto const large = trace_of(1, 16, experts);
  auto const seed = GENERATE(1U, 2U);
  oracle o(large, 0.9, seed);
  oracle never(large, 0.0, seed);
  int right = 0;
  for (std::size_t t = 0; t != 10000; ++t) {
    auto const asked = large.at(t, 0);
    buddy::expert_set truth(16);
    for (auto const e : asked.experts) truth.insert(e);
    ids const named = predicted(o, 0);
    REQUIRE(named.size() == 2);
    for (auto const e : named) right += truth.contains(e) ? 1 : 0;
    for (auto const e : predicted(never, 0)) REQUIRE_FALSE(truth.contains(e));
    o.observe(0, asked);
    never.observe(0, asked);
  }
  CHECK(right > 17790);
  CHECK(right < 18210);
}

TEST_CASE("oracle leaves out a wrong expert that does not exist", "[golden][oracle]") {
  auto const full = trace_of(1, 3, {0, 2});
  oracle o(full, 0.0);
  CHECK(predicted(o, 0) == ids{1});
}
