// SPDX-License-Identifier: Apache-2.0
/// @file
/// Traces from curves, by the program; and what it says of pools and of its own choice.
#include "catch.hpp"
#include "cli_fixture.hpp"

#include <buddy/io/trace_io.hpp>
#include <buddy/reuse_distances.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

TEST_CASE_METHOD(cli::fixture, "generate makes a trace from a curve in a file", "[harness][cli][generate]") {
  auto const out = file("made.safetensors");
  std::ofstream{file("curve.txt")} << "# slots rate\n4 0.5\n8 0.75 # half of them\n\n16 1\n";
  auto const done = cli::run({"generate", "--layers", "2", "--experts", "16", "--top-k", "2", "--hit-curve",
                              file("curve.txt"), "--tokens", "20000", "--seed", "7", out});
  CHECK(done.err == "");
  REQUIRE(done.status == 0);
  auto const trace = buddy::io::read_trace(out);
  CHECK(trace.n_tokens() == 20'000);
  for (auto const& curve : buddy::lru_hit_curves(trace)) {
    // Hoeffding: |rate - curve| <= sqrt(ln(2 / 10^-6) / (2 x 20000)) = .019; 16 first uses of 40000 are less than .001.
    CHECK(std::abs(curve.rate(4) - 0.5) < 0.02);
    CHECK(std::abs(curve.rate(6) - 0.625) < 0.02);
    CHECK(std::abs(curve.rate(8) - 0.75) < 0.02);
  }
}

TEST_CASE_METHOD(cli::fixture, "generate makes a trace like another", "[harness][cli][generate]") {
  auto const first = file("first.safetensors");
  auto const second = file("second.safetensors");
  REQUIRE(cli::run({"generate", "--hit-curve", "olmoe", "--layers", "2", "--tokens", "4000", first}).status == 0);
  REQUIRE(cli::run({"generate", "--like", first, "--tokens", "4000", "--seed", "2", second}).status == 0);
  auto const a = buddy::lru_hit_curves(buddy::io::read_trace(first));
  auto const b = buddy::lru_hit_curves(buddy::io::read_trace(second));
  REQUIRE(b.size() == 2);
  // The published rates, and those of the first trace: sqrt(ln(2 / 10^-6) / 8000) = .043, twice for two traces.
  for (std::size_t l = 0; l != 2; ++l) {
    CHECK(std::abs(a[l].rate(16) - 0.514) < 0.05);
    CHECK(std::abs(b[l].rate(16) - a[l].rate(16)) < 0.09);
  }
}

TEST_CASE_METHOD(cli::fixture, "generate refuses what it cannot make", "[harness][cli][generate]") {
  auto const out = file("made.safetensors");
  std::ofstream{file("falls.txt")} << "4 0.5\n8 0.4\n";
  std::ofstream{file("words.txt")} << "four a half\n";
  std::vector<std::string> const sizes{"--layers", "2", "--experts", "16", "--top-k", "2"};
  auto const refused = [&](std::vector<std::string> words, bool with_sizes = true) {
    words.insert(words.begin(), "generate");
    if (with_sizes) words.insert(words.end(), sizes.begin(), sizes.end());
    words.push_back(out);
    CHECK(cli::run(words).status == 2);
  };
  refused({});
  refused({"--hit-curve", file("falls.txt")});
  refused({"--hit-curve", file("words.txt")});
  refused({"--hit-curve", "no such"});
  refused({"--hit-curve", file("falls.txt")}, false);
  refused({"--like", file("words.txt")}, false);
  refused({"--like", out, "--hit-curve", "olmoe"}, false);
  refused({"--hit-curve", "olmoe", "--tokens", "0"}, false);
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE_METHOD(cli::fixture, "run warns of a pool in which the policy collapses, once", "[harness][cli][cliff]") {
  auto const low = run_with({"run", "--pool", "global", "--cache-ratio", "0.1"});
  REQUIRE(low.status == 0);
  auto const at = low.err.find("warning: a pool of");
  REQUIRE(at != std::string::npos);
  CHECK(low.err.find("warning", at + 1) == std::string::npos);
  CHECK(run_with({"run", "--pool", "global", "--cache-ratio", "0.75"}).err == "");
  CHECK(run_with({"run", "--pool", "global", "--cache-ratio", "0.1", "--eviction", "auto"}).err == "");
}

TEST_CASE_METHOD(cli::fixture, "run says what auto chose for each layer, and why", "[harness][cli][auto]") {
  auto const done = run_with({"run", "--cache-ratio", "0.5", "--eviction", "auto"});
  REQUIRE(done.status == 0);
  CHECK(done.out.find("eviction auto, by pool") != std::string::npos);
  CHECK(done.out.find("lfu_decayed") != std::string::npos);
  CHECK(run_with({"run", "--cache-ratio", "0.5"}).out.find("eviction auto") == std::string::npos);
}
