// SPDX-License-Identifier: Apache-2.0
/// @file
/// Figures by a clock that ticks as we say, the profile that they make, and the file that `--hardware` takes.
#include "catch.hpp"
#include "cli_fixture.hpp"
#include "harness/calibrate/calibration_profile.hpp"
#include "harness/calibrate/cpu_probe.hpp"
#include "temporary_folder.hpp"

#include <buddy/error.hpp>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace {

using Catch::Matchers::Contains;
using harness::figure;

/// Each look at it is `step_ns` later; copies share the time.
struct ticking_clock {
  std::uint64_t step_ns = 1000;
  std::shared_ptr<std::uint64_t> now = std::make_shared<std::uint64_t>(0);
  [[nodiscard]] std::uint64_t now_ns() const { return *now += step_ns; }
};

figure const* find(std::vector<figure> const& all, std::string const& name) {
  auto const at = std::find_if(all.begin(), all.end(), [&](figure const& f) { return f.name == name; });
  return at == all.end() ? nullptr : &*at;
}

TEST_CASE("time_of takes enough samples and no more, and tells their middle", "[harness][calibrate]") {
  int calls = 0;
  // A thousand nanoseconds a look: five samples take 5000 ns.
  auto const few = harness::time_of(ticking_clock{}, [&] { ++calls; }, {3, 100, 5000});
  CHECK(few.n == 5);
  CHECK(calls == 6);  // the first one is not timed
  CHECK(few.median == Approx(1e-6));
  CHECK(harness::time_of(ticking_clock{}, [] {}, {3, 4, 1'000'000}).n == 4);
  CHECK(harness::time_of(ticking_clock{}, [] {}, {7, 100, 1}).n == 7);
  // Work of 1, 2, 3, ... looks: samples of 2, 3, 4, 5, 6 ticks behind the unseen one.
  ticking_clock clock;
  int n = 0;
  auto const rising = harness::time_of(clock,
                                       [&] {
                                         for (int i = 0; i != n; ++i) static_cast<void>(clock.now_ns());
                                         ++n;
                                       },
                                       {5, 5, 1'000'000});
  CHECK(rising.least == Approx(2e-6));
  CHECK(rising.median == Approx(4e-6));
  CHECK(rising.most == Approx(6e-6));
}

TEST_CASE("a probe's rates are bytes over ticks", "[harness][calibrate]") {
  harness::cpu_probe_options o;
  o.record = {64, 32};  // 3 x 64 x 32 x 2 = 12288 bytes
  o.bytes = 1 << 20;    // 85 records
  o.n_threads = 3;
  o.samples = {3, 3, 1};
  ticking_clock clock{1'000'000};  // a millisecond a look
  harness::cpu_probe probe{clock, o};
  auto const all = probe.measure();
  // 2^20 bytes a millisecond; 85 x 12288 bytes a millisecond.
  REQUIRE(find(all, "cpu/read/threads:1") != nullptr);
  CHECK(find(all, "cpu/read/threads:1")->value == Approx(1.048576));
  CHECK(find(all, "cpu/gemv/threads:2")->value == Approx(1.04448));
  CHECK(find(all, "cpu/read/threads:3") != nullptr);  // 1, 2, then all
  CHECK(find(all, "cpu/read/threads:4") == nullptr);
  CHECK(find(all, "cpu/copy/threads:1")->value == Approx(1.048576));
  auto const* const both = find(all, "cpu/gemv/while_copying/threads:3");
  REQUIRE(both != nullptr);
  CHECK(both->field == "cpu_gbps");
  CHECK(both->value == Approx(1.04448));
  CHECK(find(all, "cpu/copy/while_computing")->value >= 0.0);
  CHECK(std::count_if(all.begin(), all.end(), [](figure const& f) { return !f.field.empty(); }) == 1);
  o.bytes = 12287;
  CHECK_THROWS_AS(harness::cpu_probe(clock, o), buddy::config_error);
}

std::vector<figure> const some{{"link/once/KiB:262144", "GB/s", 54.5, 50, 55, "link_gbps"},
                               {"link/latency", "us", 7.5, 7, 9, "link_latency_us"},
                               {"cpu/read/threads:1", "GB/s", 30, 29, 31, ""}};

TEST_CASE("a profile takes what was measured and says where the rest is from", "[harness][calibrate]") {
  auto const base = harness::load_hardware("h200-pcie5");
  auto const c = harness::profile_from(base, some, "mine");
  CHECK(c.machine.name == "mine");
  CHECK(c.machine.link_gbps == 54.5);
  CHECK(c.machine.link_latency_us == 7.5);
  CHECK(c.machine.cpu_gbps == base.cpu_gbps);
  CHECK(c.source.at("link_gbps") == "measured");
  CHECK(c.source.at("cpu_gbps") == "base: h200-pcie5");
  CHECK(c.source.size() == harness::hardware_fields().size());
  std::vector<figure> const unknown{{"x", "GB/s", 1, 1, 1, "speed"}};
  CHECK_THROWS_WITH(harness::profile_from(base, unknown, "x"), Contains("no profile has a field speed"));
  std::vector<figure> const broken{{"x", "GB/s", 0.0, 0, 0, "link_gbps"}};
  CHECK_THROWS_WITH(harness::profile_from(base, broken, "x"), Contains("which no machine has"));
}

TEST_CASE("a written profile is read back, with or without its sources", "[harness][calibrate]") {
  temporary_folder const folder;
  auto const file = (folder.path() / "mine.json").string();
  auto const c = harness::profile_from(harness::load_hardware("a100-pcie4"), some, "mine");
  auto const write = [&](std::string const& text) { std::ofstream{file} << text; };
  for (bool const with_source : {true, false}) {
    write(with_source ? harness::hardware_json(c.machine, c.source) : harness::hardware_json(c.machine));
    auto const h = harness::load_hardware(file);
    CHECK(h.name == "mine");
    for (auto const& f : harness::hardware_fields()) CHECK(h.*f.value == c.machine.*f.value);
  }
  auto const good = nlohmann::json::parse(harness::hardware_json(c.machine, c.source));
  auto bad = good;
  bad["source"]["speed"] = "measured";
  write(bad.dump());
  CHECK_THROWS_WITH(harness::load_hardware(file), Contains("source must give a text for fields of a machine"));
  bad = good;
  bad["source"] = 3;
  write(bad.dump());
  CHECK_THROWS_WITH(harness::load_hardware(file), Contains("source must be an object"));
  bad = good;
  bad["speed"] = 3;
  write(bad.dump());
  CHECK_THROWS_WITH(harness::load_hardware(file), Contains("fields that no machine has"));
  bad = good;
  bad.erase("device_tflops");  // it came later
  bad["source"].erase("device_tflops");
  write(bad.dump());
  CHECK(harness::load_hardware(file).device_tflops == 0.0);
}

TEST_CASE("calibrate writes a profile that layers runs on", "[harness][calibrate][cli]") {
  temporary_folder const folder;
  auto const file = (folder.path() / "mine.json").string();
  auto const report = (folder.path() / "figures.json").string();
  auto const r = cli::run(
      {"calibrate", file, "--mib", "32", "--threads", "1", "--device", "none", "--report", report, "--name", "mine"});
  INFO(r.err);
  REQUIRE(r.status == 0);
  CHECK(r.out.find("cpu/gemv/threads:1") != std::string::npos);
  auto const h = harness::load_hardware(file);
  CHECK(h.name == "mine");
  CHECK(h.cpu_gbps > 0.0);
  CHECK(cli::lines_of(report).at(0).at("source").at("cpu_gbps") == "measured");
  auto const used = cli::run({"layers", "--hardware", file, "--layers", "2", "--steps", "2", "--rounds", "1"});
  INFO(used.err);
  CHECK(used.status == 0);
  CHECK(used.out.find("mine") != std::string::npos);
  CHECK(cli::run({"calibrate", "profile.txt"}).status == 2);
  CHECK(cli::run({"calibrate", file, "--mib", "1"}).status == 2);
  CHECK(cli::run({"calibrate", file, "--report", file}).status == 2);
  CHECK(cli::run({"calibrate", file, "--device", "tpu"}).status == 2);
}

}  // namespace
