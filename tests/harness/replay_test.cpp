// SPDX-License-Identifier: Apache-2.0
/// @file
/// Replays of small traces whose hits are counted by hand, and the command around them.
#include "harness/replay/replay.hpp"

#include "catch.hpp"
#include "cli_fixture.hpp"
#include "harness/policy/presets.hpp"
#include "harness/policy/registry.hpp"
#include "harness/replay/residency.hpp"
#include "harness/replay/trace_part.hpp"

#include <buddy/io/trace_io.hpp>
#include <buddy/splitmix64.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace {

buddy::routing_trace one_layer(std::vector<std::uint16_t> experts, std::uint16_t top_k = 1) {
  buddy::routing_trace t;
  t.model = "Qwen3-30B-A3B";
  t.n_layers = 1, t.n_experts = 4, t.top_k = top_k;
  t.experts = std::move(experts);
  t.sequence_lengths = {static_cast<std::uint32_t>(t.n_tokens())};
  return t;
}

harness::replay_input input_of(std::vector<buddy::routing_trace> parts) {
  harness::replay_input in;
  in.file = "t";
  in.parts = std::move(parts);
  in.charged = {"s", 1, 1000, 1000};
  in.machine = harness::load_hardware("rtx4090-pcie4");
  in.shape = in.head().shape(1000);
  return in;
}

TEST_CASE("a replay counts hits, bounds and phases", "[harness][replay]") {
  // Two slots; 0 1 are prefill. LRU on 2 0 1 2 0: each was the one just evicted, no hit. Belady: 2 replaces 1, 0 hits,
  // 1 replaces 0, 2 hits, 0 misses.
  auto t = one_layer({0, 1, 2, 0, 1, 2, 0});
  t.phases = {buddy::phase::prefill, buddy::phase::prefill, buddy::phase::decode, buddy::phase::decode,
              buddy::phase::decode,  buddy::phase::decode,  buddy::phase::decode};
  auto const in = input_of({t});
  buddy::cache_budget const budget{2000, buddy::pool_layout::global};
  auto const r = harness::replay(in, harness::preset_settings("fetch"), budget);
  CHECK(r.run.n_tokens == 5);
  CHECK(r.run.total.lookups == 5);
  CHECK(r.run.total.hits == 0);
  CHECK(r.prefill.lookups == 2);
  CHECK(r.run.time.link_bytes[0] == 5000);
  CHECK(r.prefill_time.link_bytes[0] == 2000);
  CHECK(r.slots == 2);
  CHECK(r.run.settings.cache_ratio == 0.5);
  auto const bounds = harness::bounds_of(in.parts, in.shape, budget, 1);
  CHECK(bounds.belady.decode().hits == 2);
  CHECK(bounds.belady.decode().compulsory == 1);
  // Uses 0: 3, 1: 2, 2: 2; pinned are 0 and 1: in decode 0, 1, 0 hit.
  CHECK(bounds.static_top.decode().hits == 3);
}

TEST_CASE("every online policy stays below the bound and agrees on the look-ups", "[harness][replay]") {
  buddy::routing_trace t = one_layer({}, 2);
  t.n_layers = 2, t.n_experts = 16;
  for (std::uint64_t i = 0; i != 600; ++i) {  // seed: the index
    auto const a = static_cast<std::uint16_t>(buddy::below(buddy::splitmix64(i), 16) & buddy::splitmix64(i + 9999));
    t.experts.push_back(a);
    t.experts.push_back(static_cast<std::uint16_t>((a + 1 + buddy::below(buddy::splitmix64(i + 77777), 14)) % 16));
  }
  t.sequence_lengths = {100, 200};
  auto in = input_of({t});
  in.hindsight = harness::hindsight_of(in.parts, in.shape);
  for (auto const layout : {buddy::pool_layout::global, buddy::pool_layout::per_layer}) {
    auto const budget = buddy::cache_budget::from_ratio(in.shape, 0.375, layout);
    auto const bound = harness::bounds_of(in.parts, in.shape, budget, 1);
    for (auto const& line : harness::evictions()) {
      INFO(line.name);
      auto settings = harness::preset_settings("fetch");
      settings.eviction = line.name;
      auto const r = harness::replay(in, settings, budget);
      CHECK(r.run.total.lookups == bound.belady.decode().lookups);
      CHECK(r.run.total.hits <= bound.belady.decode().hits);
      REQUIRE(r.sequences.size() == 2);
      CHECK(r.sequences[0].hits + r.sequences[1].hits == r.run.total.hits);
      CHECK(r.sequences[1].tokens == 200);
    }
  }
}

TEST_CASE("parts of a trace keep its rows and cut its sequences", "[harness][replay]") {
  auto t = one_layer({0, 1, 2, 3, 0, 1});
  t.sequence_lengths = {2, 4};
  auto const part = harness::part_of(t, 1, 3);
  CHECK(part.experts == std::vector<std::uint16_t>{1, 2, 3});
  CHECK(part.sequence_lengths == std::vector<std::uint32_t>{1, 2});
  CHECK(harness::part_of(t, 7, 1).n_tokens() == 0);
  auto const sequences = harness::sequences_of(t);
  REQUIRE(sequences.size() == 2);
  CHECK(sequences[1].experts == std::vector<std::uint16_t>{2, 3, 0, 1});
}

TEST_CASE("recorded residency is compared slot by slot", "[harness][replay]") {
  auto t = one_layer({0, 1, 0, 2, 1});
  // Two slots of 10 bytes, LRU: misses 0 1, hit 0, 2 replaces 1, 1 misses. The record says that 1 was there at the end.
  t.resident = {0, 0, 1, 0, 1};
  t.record_bytes = {10};
  auto const check = harness::check_residency(t, 20);
  CHECK(check.slots == 5);
  CHECK(check.recorded_hits == 2);
  CHECK(check.replayed_hits == 1);
  CHECK(check.agreed == 4);
  t.resident.clear();
  CHECK_THROWS_AS(harness::check_residency(t, 20), buddy::config_error);
}

TEST_CASE("replay prints and writes its rows with bounds, or says why not", "[harness][replay][cli]") {
  temporary_folder const folder;
  auto const file = [&](char const* name) { return (folder.path() / name).string(); };
  buddy::io::write_trace(file("t.safetensors"), one_layer({0, 1, 2, 0, 1, 2}));
  auto const o = cli::run({"replay", file("t.safetensors"), "--eviction", "lru,lfu", "--cache-ratio", "0.5,0.75",
                           "--json", file("r.jsonl"), "--csv", file("r.csv"), "--per-layer", "--per-sequence"});
  INFO(o.err);
  REQUIRE(o.status == 0);
  CHECK(o.out.find("= belady") != std::string::npos);
  auto const lines = cli::lines_of(file("r.jsonl"));
  REQUIRE(lines.size() == 4);
  CHECK(lines[0]["kind"] == "replay");
  CHECK(lines[0]["trace"] == "t.safetensors");
  CHECK(lines[0]["hits"] == 0);
  CHECK(lines[2]["hit_rate"] == 0.5);  // three slots: only the first of each misses
  CHECK(lines[2]["bounds"]["belady"] == 0.5);
  CHECK(lines[0]["compulsory_misses"] == 3);
  auto const refused = [&](std::vector<std::string> words, std::string const& word) {
    words.insert(words.begin(), {"replay", file("t.safetensors")});
    auto const e = cli::run(words);
    INFO(e.err);
    return e.status == 2 && e.err.find(word) != std::string::npos;
  };
  CHECK(refused({"--selector", "live_score", "--sensitivity", "always"}, "scores"));
  CHECK(refused({"--sensitivity", "margin_gate"}, "gate weights"));
  CHECK(refused({"--eviction", "lru,best"}, "unknown eviction"));
  CHECK(refused({"--slots", "0"}, "--slots"));
  CHECK(refused({"--slots", "2", "--budget-mib", "5"}, "excludes"));
  CHECK(refused({"--first-token", "6"}, "no decoded token"));
  CHECK(refused({"--check-residency", "--budget-mib", "1"}, "residency"));
}

}  // namespace
