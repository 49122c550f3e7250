// SPDX-License-Identifier: Apache-2.0
/// @file
/// Stand-ins from calibration to a run, through the program.
#include "catch.hpp"
#include "cli_fixture.hpp"

#include <string>
#include <vector>

namespace {

using cli::fixture;

struct calibrated : fixture {
  calibrated() {
    made = cli::run({"profile", "--model", folder.path().string(), "--tokens", "1600", "--out", file("p"),
                     "--stand-ins", "low_bit:2", "low_bit:8", "--expected-errors"});
  }

  /// Every miss replaced.
  [[nodiscard]] nlohmann::json replaced(std::vector<std::string> words) const {
    std::vector<std::string> all{"run", "--policy", "stand_in", "--profile", file("p"), "--json", file("j")};
    all.insert(all.end(), words.begin(), words.end());
    auto const r = run_with(all);
    INFO(r.err);
    REQUIRE(r.status == 0);
    return cli::lines_of(file("j")).at(0);
  }

  cli::outcome made;
};

double kl(nlohmann::json const& line) { return line["quality"]["kl_nats"].get<double>(); }

}  // namespace

TEST_CASE("stand-ins that profile fits are computed by run, and lose less the more bytes they have", "[harness][cli]") {
  calibrated const f;
  INFO(f.made.err);
  REQUIRE(f.made.status == 0);
  CHECK(f.made.out.find("low_bit:2: fits and errors") != std::string::npos);
  auto const nothing = f.replaced({"--stand-ins", "zero"});
  auto const two = f.replaced({"--stand-ins", "low_bit:2", "--free-stand-ins"});
  auto const eight = f.replaced({"--stand-ins", "low_bit:8", "--free-stand-ins"});
  CHECK(kl(two) < 0.5 * kl(nothing));
  CHECK(kl(eight) < 0.1 * kl(two));
  CHECK(nothing["share"]["drop"].get<double>() > 0.1);
  CHECK(eight["share"]["low_precision"].get<double>() > 0.1);
  CHECK(eight["share"]["fetch"].get<double>() == 0.0);
  auto const interval = two["quality"]["kl_nats_interval"];
  CHECK(interval[0].get<double>() <= kl(two));
  CHECK(interval[1].get<double>() >= kl(two));
  // A second run says the same, charged copies leave fewer slots, and so more is missed.
  CHECK(kl(f.replaced({"--stand-ins", "low_bit:2", "--free-stand-ins"})) == kl(two));
  auto const charged = f.replaced({"--stand-ins", "low_bit:2"});
  CHECK(charged["share"]["own"].get<double>() < two["share"]["own"].get<double>());
}

TEST_CASE("plan divides the bytes, and stand_in runs with what it says", "[harness][cli]") {
  calibrated const f;
  REQUIRE(f.made.status == 0);
  auto const planned = f.run_with({"plan", "--profile", f.file("p"), "--json", f.file("plan")});
  INFO(planned.err);
  REQUIRE(planned.status == 0);
  auto const plan = cli::lines_of(f.file("plan")).at(0);
  CHECK(plan["layers"].size() == 2);
  CHECK(plan["exact"].get<bool>());
  double bytes = 0.0;
  for (auto const& layer : plan["layers"])
    bytes += layer["slots"].get<double>() * plan["record_bytes"].get<double>() +
             16.0 * layer["stand_in_bytes"].get<double>();
  CHECK(bytes == plan["bytes"].get<double>());
  CHECK(bytes <= 16.0 * plan["record_bytes"].get<double>());  // half of 2 x 16 experts
  auto const run = f.replaced({});
  CHECK(run["config"]["layer_slots"].size() == 2);
  CHECK(kl(run) <= kl(f.replaced({"--stand-ins", "zero"})));
}

TEST_CASE("stand-ins that are not there are refused", "[harness][cli]") {
  calibrated const f;
  auto const error_of = [&](std::vector<std::string> words) {
    auto const r = f.run_with(std::move(words));
    CHECK(r.status == 2);
    return r.err;
  };
  CHECK(
      error_of({"run", "--policy", "stand_in", "--profile", f.file("p"), "--stand-ins", "nonsense"}).find("nonsense") !=
      std::string::npos);
  CHECK(error_of({"run", "--policy", "stand_in", "--profile", f.file("p"), "--record-bits", "4"}).find("int4") !=
        std::string::npos);
  CHECK(error_of({"run", "--record-bits", "8"}).find("--record-bits") != std::string::npos);
  CHECK(error_of({"profile", "--out", f.file("q"), "--stand-ins", "low_bit:0"}).find("low_bit:0") != std::string::npos);
  CHECK(error_of({"plan", "--profile", f.file("p"), "--fetched", "2"}).find("--fetched") != std::string::npos);
}
