// SPDX-License-Identifier: Apache-2.0
/// @file
/// The modelled time, against arithmetic by hand.
#include "catch.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/presets.hpp"
#include "harness/sim/charged_shape.hpp"
#include "harness/sim/hardware.hpp"
#include "harness/sim/offload_clock.hpp"

#include <buddy/error.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

namespace {

using harness::charged_shape;
using harness::hardware;

// Read from device memory: 1000 B at 10 GB/s = 100 ns an expert, 2000 B = 200 ns the rest, and 1 + 2 us of launches:
// rest = 3200 ns. Decision 1000 ns. One copy: 5000 ns + 1000 B / 1 GB/s = 6000 ns. CPU: 3000 ns + 1000 B / 2 GB/s =
// 500 ns an expert.
hardware const machine{"hand", 10, 1, 5, 2, 1, 2, 1, 3};
charged_shape const sizes{"hand", 10, 1000, 2000};
constexpr std::uint64_t begin_ns = 3200 + 1000;

// Two layers of 8 experts, top-4, four slots a layer.
buddy::model_shape const shape{2, 8, 4, 1000};

struct fixture {
  explicit fixture(harness::policy_settings const& settings) : composed(settings, shape, nullptr) {}

  /// One layer of one token; returns what it took.
  std::uint64_t layer(std::uint16_t l, std::array<std::uint16_t, 4> const& experts) {
    std::uint64_t const before = clock.totals().elapsed_ns;
    if (l == 0) composed.policy().begin_step();
    clock.begin_layer(composed.policy());
    static constexpr std::array<float, 4> weights{0.4F, 0.3F, 0.2F, 0.1F};
    auto const& plan = composed.policy().resolve(l, {{experts.data(), 4}, {weights.data(), 4}, {}, 1});
    clock.run_layer(composed.policy(), plan);
    return clock.totals().elapsed_ns - before;
  }

  harness::composed_policy composed;
  harness::offload_clock clock{machine, sizes};
};

TEST_CASE("offload_clock charges on-demand copies as the formula says", "[harness][sim]") {
  fixture f{harness::preset_settings("fetch")};
  // Cold: M = 4 of k = 4. rest + resolve + max(3 * 100, 4 * 6000) + 100 = 4200 + 24000 + 100.
  CHECK(f.layer(0, {0, 1, 2, 3}) == begin_ns + 24'100);
  CHECK(f.layer(1, {0, 1, 2, 3}) == begin_ns + 24'100);
  // Nothing missing: k t_e = 400.
  CHECK(f.layer(0, {3, 2, 1, 0}) == begin_ns + 400);
  // One missing: max(3 * 100, 6000) + 100.
  CHECK(f.layer(1, {0, 1, 2, 4}) == begin_ns + 6'100);
  // Stalls are what exceeds k t_e: 2 * (24100 - 400) + 0 + (6100 - 400).
  CHECK(f.clock.totals().stall_ns == 2 * 23'700 + 5'700);
  // 4 + 4 + 1 copies of 1000 bytes, all on demand.
  CHECK(f.clock.totals().link_bytes == std::array<std::uint64_t, 3>{9'000, 0, 0});
  CHECK(f.clock.totals().layers == 4);
}

TEST_CASE("offload_clock runs the CPU beside the device", "[harness][sim]") {
  auto settings = harness::preset_settings("fetch");
  settings.rules.on_refused = buddy::resolution::host;
  settings.rules.refill_after = 0;
  fixture f{settings};
  // All four on the CPU: 3000 + 4 * 500, and nothing on the device.
  CHECK(f.layer(0, {0, 1, 2, 3}) == begin_ns + 5'000);
  CHECK(f.clock.totals().all_link_bytes() == 0);
}

TEST_CASE("offload_clock lets refills use the link when no layer waits", "[harness][sim]") {
  auto settings = harness::preset_settings("drop");
  settings.rules.refill_after = 1;
  fixture f{settings};
  // Dropped: nothing is read. The link takes two refills, one after another 6000 ns each.
  CHECK(f.layer(0, {0, 1, 2, 3}) == begin_ns);
  CHECK(f.layer(1, {0, 1, 2, 3}) == begin_ns);
  // Submitted at 4200; the first is there at 10200. This router speaks at 8400 + 3200 = 11600: one expert is resident.
  CHECK(f.layer(0, {0, 1, 2, 3}) == begin_ns + 100);
  // Two of layer 0, none of layer 1, whose router found both places taken, and one more in the place of the first.
  CHECK(f.composed.policy().total().refills == 3);
  CHECK(f.clock.totals().link_bytes == std::array<std::uint64_t, 3>{0, 0, 1'000});
  CHECK(f.clock.totals().stall_ns == 0);
}

TEST_CASE("a demand copy waits for the background copy under way and cancels those that have not begun",
          "[harness][sim]") {
  auto settings = harness::preset_settings("drop_light");
  settings.weight_threshold = 0.15;  // of shares .4 .3 .2 .1 the last is light
  settings.rules.refill_after = 1;
  fixture f{settings};
  // Three fetched, one dropped: max(2 * 100, 3 * 6000) + 100. The refill of expert 3 is queued behind them, at 4200,
  // and flows from 4200 + 18000 = 22200 to 28200.
  CHECK(f.layer(0, {0, 1, 2, 3}) == begin_ns + 18'100);
  // This layer began at 22300 and resolves at 26500: its demand waits for the refill's end at 28200, then 18000 more,
  // until 46200; then one read: 46300. 46300 - 22300 = 24000.
  CHECK(f.layer(1, {0, 1, 2, 3}) == 24'000);
  CHECK(f.clock.totals().background_cancelled == 0);
  // The refill of layer 1's expert 3 flows from 46200 to 52200. This layer began at 46300, all four hit: 4200 + 400,
  // until 50900.
  CHECK(f.layer(0, {0, 1, 2, 3}) == begin_ns + 400);
  CHECK(f.clock.totals().link_bytes == std::array<std::uint64_t, 3>{6'000, 0, 1'000});
}

TEST_CASE("the built-in shapes have the sizes of the models", "[harness][sim]") {
  charged_shape const own{"reference", 4, 24'576, 1};
  // 3 * 2048 * 1408 weights of two bytes.
  CHECK(harness::find_shape("deepseek-v2-lite", own).expert_bytes == 17'301'504);
  CHECK(harness::find_shape("qwen3-30b-a3b", own).expert_bytes == 9'437'184);
  CHECK(harness::find_shape("olmoe-1b-7b", own).expert_bytes == 12'582'912);
  CHECK(harness::find_shape("mixtral-8x7b", own).expert_bytes == 352'321'536);
  // 3 * 2880 * 2880 weights of 17 bytes for 32, and 3 * 2880 biases of two bytes.
  CHECK(harness::find_shape("gpt-oss-20b", own).expert_bytes == 13'236'480);
  CHECK(harness::find_shape("reference", own).expert_bytes == 24'576);
  CHECK_THROWS_AS(harness::find_shape("gpt", own), buddy::config_error);
}

std::string refusal_of(std::string const& json) {
  std::string const file = "hardware_test.json";
  std::ofstream{file} << json;
  std::string what;
  try {
    static_cast<void>(harness::load_hardware(file));
  } catch (buddy::config_error const& e) {
    what = e.what();
  }
  std::remove(file.c_str());
  return what;
}

TEST_CASE("a hardware file is checked before it is believed", "[harness][sim]") {
  std::string const tail =
      R"("link_latency_us":10,"cpu_gbps":60,"layer_fixed_us":5,"moe_fixed_us":12,"resolve_us":2,"host_handshake_us":26})";
  CHECK(refusal_of(R"({"name":"x","device_gbps":900,"link_gbps":25,)" + tail).empty());
  CHECK(refusal_of(R"({"name":"x","device_gbps":900,)" + tail).find("link_gbps is missing") != std::string::npos);
  CHECK(refusal_of(R"({"name":"x","device_gbps":0,"link_gbps":25,)" + tail).find("device_gbps") != std::string::npos);
  CHECK(refusal_of(R"({"name":"x","device_gbps":1e999,"link_gbps":25,)" + tail) != "");
  CHECK(refusal_of(R"({"name":"x","more":1,"device_gbps":900,"link_gbps":25,)" + tail).find("fields") !=
        std::string::npos);
  CHECK(refusal_of(R"({"name":"x","device_gbps":900,"link_gbps":25,"link_gbps":50,)" + tail)
            .find("link_gbps is there twice") != std::string::npos);
  CHECK(refusal_of(R"({"name":"x\ny","device_gbps":900,"link_gbps":25,)" + tail).find("control") != std::string::npos);
  CHECK(refusal_of(R"({"name":"","device_gbps":900,"link_gbps":25,)" + tail).find("name") != std::string::npos);
  CHECK(refusal_of("[1, 2") != "");
  CHECK_THROWS_AS(harness::load_hardware("no-such-machine"), buddy::config_error);
  CHECK_THROWS_AS(harness::load_hardware("no-such-file.json"), buddy::config_error);
}

}  // namespace
