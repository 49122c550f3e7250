// SPDX-License-Identifier: Apache-2.0
/// @file
/// Slots of unequal layers, from a trace to the program.
#include "catch.hpp"
#include "cli_fixture.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/layer_demand.hpp"
#include "harness/policy/presets.hpp"

#include <buddy/error.hpp>
#include <buddy/io/trace_io.hpp>
#include <buddy/layer_split.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace {

/// Layer 0 goes round all 8 experts in pairs, layer 1 has two pairs in turn: 4 slots are all it can use.
buddy::routing_trace uneven_trace() {
  buddy::routing_trace trace;
  trace.n_layers = 2, trace.n_experts = 8, trace.top_k = 2;
  for (std::uint16_t t = 0; t != 80; ++t) {
    auto const wide = static_cast<std::uint16_t>(2 * t % 8);
    auto const narrow = static_cast<std::uint16_t>(2 * (t % 2));
    for (std::uint16_t const e :
         {wide, static_cast<std::uint16_t>(wide + 1), narrow, static_cast<std::uint16_t>(narrow + 1)})
      trace.experts.push_back(e);
  }
  trace.sequence_lengths = {80};
  return trace;
}

harness::policy_settings split_settings(harness::slot_split how) {
  auto s = harness::preset_settings("fetch");
  s.split = how;
  s.cache_ratio = 0.75;  // 6 + 6 slots
  s.demand = std::make_shared<harness::layer_demand const>(harness::measure_demand(uneven_trace()));
  return s;
}

constexpr buddy::model_shape shape{2, 8, 2, 100};

}  // namespace

TEST_CASE("a marginal-gain split gives a layer what its trace can use", "[harness][split]") {
  // Layer 0 hits nothing below 8 slots and all but 8 first uses with them; layer 1 hits nothing below 4.
  auto const s = split_settings(harness::slot_split::marginal_gain);
  CHECK(harness::layer_slots(s, shape, 1200) == std::vector<std::uint32_t>{8, 4});
  harness::composed_policy composed{s, shape, nullptr};
  CHECK(composed.policy().cache().capacity() == 12);
  CHECK(composed.policy().cache().byte_budget() == 1200);
}

TEST_CASE("AdapMoE's split gives fewer slots to the layer that is guessed well", "[harness][split]") {
  // Layer 1 follows from layer 0: after the first four tokens the table names an expert that is asked for. Layer 0
  // comes after two pairs that say little of which of four is next.
  auto const s = split_settings(harness::slot_split::adapmoe);
  CHECK(s.demand->adapmoe[0].accuracy < 0.5);
  CHECK(s.demand->adapmoe[1].accuracy > 0.9);
  auto const slots = harness::layer_slots(s, shape, 1200);
  CHECK(slots[0] + slots[1] == 12);
  CHECK(slots[0] > slots[1]);
}

TEST_CASE("a split refuses what it cannot be made from", "[harness][split]") {
  auto s = split_settings(harness::slot_split::marginal_gain);
  CHECK_THROWS_AS(harness::layer_slots(s, {3, 8, 2, 100}, 1800), buddy::config_error);
  s.pool = buddy::pool_layout::global;
  CHECK_THROWS_AS(harness::layer_slots(s, shape, 1200), buddy::config_error);
  s = split_settings(harness::slot_split::marginal_gain);
  s.demand = nullptr;
  CHECK_THROWS_AS(harness::layer_slots(s, shape, 1200), buddy::config_error);
}

TEST_CASE_METHOD(cli::fixture, "run and sweep split the slots by a trace", "[harness][cli][split]") {
  auto const trace = file("trace.safetensors");
  auto const json = file("out.jsonl");
  REQUIRE(run_with({"run", "--cache-ratio", "0.5", "--record-trace", trace}).status == 0);
  for (std::string const split : {"marginal-gain", "adapmoe"}) {
    auto const words = {"run", "--cache-ratio", "0.5", "--split", split.c_str(), "--split-trace", trace.c_str()};
    auto const done = run_with({words.begin(), words.end()});
    CHECK(done.err == "");
    CHECK(done.status == 0);
  }
  auto const done = run_with({"sweep", "--policies", "fetch", "--cache-ratios", "0.5", "--split", "marginal-gain",
                              "--split-trace", trace, "--split-window", "100", "--json", json});
  REQUIRE(done.status == 0);
  CHECK(cli::lines_of(json).at(0).at("config").at("split") == "marginal-gain");

  CHECK(run_with({"run", "--split", "marginal-gain"}).status == 2);
  CHECK(run_with({"run", "--split", "fair"}).status == 2);
  CHECK(run_with({"run", "--split", "adapmoe", "--split-trace", file("none")}).status == 2);
  CHECK(run_with({"run", "--split", "adapmoe", "--split-trace", trace, "--pool", "global"}).status == 2);
}
