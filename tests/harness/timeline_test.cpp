// SPDX-License-Identifier: Apache-2.0
/// @file
/// Timelines of the modelled clock, against arithmetic by hand, and the file they become.
#include "harness/sim/timeline.hpp"

#include "catch.hpp"
#include "cli_fixture.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/presets.hpp"
#include "harness/report/timeline_json.hpp"
#include "harness/sim/offload_clock.hpp"

#include <buddy/io/trace_io.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

using harness::span_kind;
using harness::timeline;
using nlohmann::json;

// As in sim_test.cpp: rest 3200 ns, decision 1000, an expert 100, a copy 5000 + 1000, handshake 3000, on the CPU 500.
harness::hardware const machine{"hand", 10, 1, 5, 2, 1, 2, 1, 3};
harness::charged_shape const sizes{"hand", 10, 1000, 2000};
buddy::model_shape const shape{2, 8, 4, 1000};

struct fixture {
  explicit fixture(harness::policy_settings const& settings, timeline& drawn)
      : composed(settings, shape, nullptr), clock{machine, sizes, &drawn} {}

  void layer(std::uint16_t l, std::array<std::uint16_t, 4> const& experts) {
    if (l == 0) composed.policy().begin_step();
    clock.begin_layer(composed.policy());
    static constexpr std::array<float, 4> weights{0.4F, 0.3F, 0.2F, 0.1F};
    clock.run_layer(composed.policy(), composed.policy().resolve(l, {{experts.data(), 4}, {weights.data(), 4}, {}, 1}));
  }

  harness::composed_policy composed;
  harness::offload_clock clock;
};

/// Spans of one kind as pairs of begin and end.
std::vector<std::pair<std::uint64_t, std::uint64_t>> spans(timeline const& t, span_kind kind) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> all;
  for (auto const& s : t.spans())
    if (s.kind == kind) all.emplace_back(s.begin_ns, s.end_ns);
  return all;
}

using pairs = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

TEST_CASE("a timeline shows the layer, its parts, its copies and its stall", "[harness][timeline]") {
  timeline t;
  fixture f{harness::preset_settings("fetch"), t};
  f.layer(0, {0, 1, 2, 3});
  // Four cold copies of latency 5000 and data 1000, one after the other, from 4200 on. Three experts are computed
  // while they come, the last one after the fourth: 4200 + 300 until 4200 + 24000.
  CHECK(spans(t, span_kind::layer) == pairs{{0, 28'300}});
  CHECK(spans(t, span_kind::rest) == pairs{{0, 3'200}});
  CHECK(spans(t, span_kind::resolve) == pairs{{3'200, 4'200}});
  CHECK(spans(t, span_kind::copy) == pairs{{9'200, 10'200}, {15'200, 16'200}, {21'200, 22'200}, {27'200, 28'200}});
  CHECK(spans(t, span_kind::experts) == pairs{{4'200, 4'500}, {28'200, 28'300}});
  CHECK(spans(t, span_kind::stall) == pairs{{4'500, 28'200}});
  CHECK(spans(t, span_kind::host).empty());
  f.layer(1, {0, 1, 2, 3});
  f.layer(0, {0, 1, 2, 3});  // all resident: no stall, and another step
  CHECK(spans(t, span_kind::stall).size() == 2);
  CHECK(t.spans().back().step == 1);
  CHECK(spans(t, span_kind::experts).back() == std::pair<std::uint64_t, std::uint64_t>{60'800, 61'200});
}

TEST_CASE("a timeline shows the CPU's lane, and the wait for it", "[harness][timeline]") {
  auto settings = harness::preset_settings("fetch");
  settings.rules.on_refused = buddy::resolution::host;
  settings.rules.refill_after = 0;
  timeline t;
  fixture f{settings, t};
  f.layer(0, {0, 1, 2, 3});
  CHECK(spans(t, span_kind::host) == pairs{{4'200, 9'200}});  // 3000 + 4 * 500
  CHECK(spans(t, span_kind::stall) == pairs{{4'200, 9'200}});
  CHECK(spans(t, span_kind::copy).empty());
}

TEST_CASE("a timeline changes nothing, passes over steps and keeps what fits", "[harness][timeline]") {
  timeline all;
  timeline late{1};
  timeline small{0, 5};
  std::array<std::uint64_t, 3> elapsed{};
  std::array<timeline*, 3> const which{&all, &late, &small};
  for (std::size_t i = 0; i != which.size(); ++i) {
    fixture f{harness::preset_settings("prefetch"), *which[i]};
    for (std::uint16_t n = 0; n != 6; ++n) f.layer(n % 2, {n, std::uint16_t(n + 1), 6, 7});
    elapsed[i] = f.clock.totals().elapsed_ns;
  }
  harness::composed_policy plain{harness::preset_settings("prefetch"), shape, nullptr};
  CHECK(elapsed[0] == elapsed[1]);
  CHECK(elapsed[0] == elapsed[2]);
  CHECK(spans(all, span_kind::layer).size() == 6);
  CHECK(spans(late, span_kind::layer).size() == 4);
  CHECK(late.spans().front().step == 1);
  CHECK(small.spans().size() == 5);
  CHECK(small.left_out() == all.spans().size() - 5);
}

/// The rules of the Trace Event Format that the readers rely on.
void check_schema(json const& file) {
  REQUIRE(file.is_object());
  CHECK(file.at("displayTimeUnit") == "ns");
  CHECK(file.at("otherData").at("clock") == "modelled");
  REQUIRE(file.at("traceEvents").is_array());
  std::map<int, std::vector<std::pair<double, double>>> tracks;
  for (json const& e : file.at("traceEvents")) {
    REQUIRE((e.at("ph") == "X" || e.at("ph") == "M"));
    REQUIRE((e.at("pid").is_number_integer() && e.at("tid").is_number_integer() && e.at("name").is_string()));
    if (e.at("ph") == "M") continue;
    REQUIRE((e.at("ts").is_number() && e.at("dur").is_number() && e.at("dur") >= 0));
    REQUIRE((e.at("cat").is_string() && e.at("args").at("layer").is_number()));
    tracks[e.at("tid").get<int>()].emplace_back(e.at("ts"), e.at("ts").get<double>() + e.at("dur").get<double>());
  }
  // On one track two events are apart, or one lies within the other: anything else is drawn wrongly.
  constexpr double rounding = 1e-3;
  for (auto& [track, events] : tracks) {
    std::sort(events.begin(), events.end(), [](auto const& a, auto const& b) {
      return a.first != b.first ? a.first < b.first : a.second > b.second;
    });
    std::vector<double> open;
    for (auto const& [begin, end] : events) {
      while (!open.empty() && open.back() <= begin + rounding) open.pop_back();
      INFO("track " << track << " at " << begin);
      REQUIRE((open.empty() || end <= open.back() + rounding));
      open.push_back(end);
    }
  }
}

TEST_CASE("a timeline is what viewers read", "[harness][timeline][cli]") {
  cli::fixture const f;
  auto const file = f.file("timeline.json");
  for (char const* const policy : {"fetch", "prefetch", "random"}) {
    auto const r = f.run_with({"run", "--policy", policy, "--trace-timeline", file, "--tasks", "off"});
    INFO(r.err);
    REQUIRE(r.status == 0);
    std::ifstream in{file};
    auto const parsed = json::parse(in);
    check_schema(parsed);
    CHECK(parsed.at("otherData").at("policy") == policy);
    CHECK(parsed.at("traceEvents").size() > 100);
  }
  auto const empty = f.run_with({"run", "--trace-timeline", file, "--tasks", "off", "--timeline-from", "100000"});
  CHECK(empty.status == 0);
  CHECK(empty.err.find("is empty") != std::string::npos);
}

TEST_CASE("replay draws one row, and refuses to draw several", "[harness][timeline][cli]") {
  temporary_folder const folder;
  buddy::routing_trace trace;
  trace.model = "Mixtral-8x7B";
  trace.n_layers = 2, trace.n_experts = 8, trace.top_k = 1;
  for (std::uint16_t i = 0; i != 40; ++i) trace.experts.push_back(i % 5);
  trace.sequence_lengths = {20};
  auto const path = (folder.path() / "t.safetensors").string();
  auto const file = (folder.path() / "timeline.json").string();
  buddy::io::write_trace(path, trace);
  auto const one = cli::run({"replay", path, "--trace-timeline", file});
  INFO(one.err);
  REQUIRE(one.status == 0);
  std::ifstream in{file};
  check_schema(json::parse(in));
  auto const two = cli::run({"replay", path, "--trace-timeline", file, "--cache-ratio", "0.5,0.25"});
  CHECK(two.status == 2);
  CHECK(two.err.find("one eviction policy and one capacity") != std::string::npos);
  auto const same = cli::run({"replay", path, "--trace-timeline", path});
  CHECK(same.status == 2);
}

}  // namespace
