// SPDX-License-Identifier: Apache-2.0
// The program with --backend cuda, on an emulated device.
#include "catch.hpp"
#include "harness/cli_fixture.hpp"
#include "small_model.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

/// A command on the small model's device.
cli::outcome run_with(small_model const& f, std::vector<std::string> words) {
  for (std::string const& word :
       std::vector<std::string>{"--backend", "cuda", "--model", f.folder.path().string(), "--text", f.file("text.txt"),
                                "--tasks", "off", "--tokens", "12"})
    words.push_back(word);
  return cli::run(words);
}

}  // namespace

TEST_CASE("run and sweep say what was measured, what was modelled, and their ratio", "[emulated][model][session]") {
  small_model const f;
  auto const o = run_with(f, {"run", "--policy", "fetch", "--json", f.file("r.json")});
  INFO(o.err);
  REQUIRE(o.status == 0);
  for (char const* words : {"measured on emulated", "tokens/s (modelled)", "measured over modelled"})
    CHECK(o.out.find(words) != std::string::npos);
  auto const r = nlohmann::json::parse(std::ifstream{f.file("r.json")});
  CHECK(r["backend"] == "cuda");
  CHECK(r["timing"] == "measured");
  CHECK(r["device"] == "emulated");
  CHECK(r["shape"] == "reference");
  double const ratio = r["tokens_per_second"].get<double>() / r["tokens_per_second_modelled"].get<double>();
  CHECK(r["measured_over_modelled"].get<double>() == Approx(ratio));

  auto const sweep = run_with(f, {"sweep", "--policies", "all_resident,fetch", "--cache-ratios", "0.5"});
  REQUIRE(sweep.status == 0);
  CHECK(sweep.out.find("meas/mod") != std::string::npos);
  CHECK(sweep.out.find("* measured on emulated; modelled:") != std::string::npos);
}

TEST_CASE("a device measures the model that runs, no other shape", "[emulated][model][session]") {
  small_model const f;
  auto const o = run_with(f, {"run", "--shape", "mixtral-8x7b", "--json", f.file("r.json")});
  CHECK(o.status == 2);
  CHECK(o.err.find("--shape must be reference") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(f.file("r.json")));
}
