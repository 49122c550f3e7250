// SPDX-License-Identifier: Apache-2.0
/// @file
/// The program as its user meets it.
#include "catch.hpp"
#include "cli_fixture.hpp"
#include "harness/model/cuda/device_model.hpp"

#include <buddy/io/profile_io.hpp>
#include <buddy/io/trace_io.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using cli::fixture;
using cli::lines_of;
using cli::run;

TEST_CASE("run prints a summary and writes a result", "[harness][cli]") {
  fixture const f;
  auto const o = f.run_with({"run", "--policy", "drop_light", "--cache-ratio", "0.375", "--json", f.file("r.json"),
                             "--record-trace", f.file("t.safetensors"), "--eviction", "lru_token"});
  INFO(o.err);
  REQUIRE(o.status == 0);
  CHECK(o.out.find("tokens/s (modelled)") != std::string::npos);
  auto const lines = lines_of(f.file("r.json"));
  REQUIRE(lines.size() == 1);
  auto const& r = lines.front();
  for (char const* name : {"kind",
                           "policy",
                           "config",
                           "model",
                           "trace",
                           "backend",
                           "hardware",
                           "shape",
                           "cache_ratio",
                           "seed",
                           "commit",
                           "machine",
                           "n_tokens",
                           "timing",
                           "tokens_per_second",
                           "stall_share",
                           "link_bytes_per_token",
                           "lookups",
                           "hit_rate",
                           "share",
                           "refusals",
                           "quality"})
    CHECK(r.contains(name));
  CHECK(r["kind"] == "run");
  CHECK(r["timing"] == "modelled");
  CHECK(r["cache_ratio"] == 0.375);
  CHECK(r["config"]["eviction"] == "lru_token");
  double sum = 0.0;
  for (auto const& share : r["share"]) sum += share.get<double>();
  CHECK(sum == Approx(1.0));
  CHECK(r["quality"]["bits_per_byte"].is_number());
  auto const trace = buddy::io::read_trace(f.file("t.safetensors"));
  CHECK(trace.n_tokens() == r["n_tokens"].get<std::size_t>());
  CHECK(trace.top_k == 3);
  for (char const* part : {"policy drop_light", "cache ratio 0.375", "start cold", "text builtin", "seed 1"})
    CHECK(trace.source.find(part) != std::string::npos);
}

TEST_CASE("a backend that is not there is refused in one line, and nothing is written", "[harness][cli]") {
  fixture const f;
  auto const unknown = f.run_with({"run", "--backend", "gpu"});
  CHECK(unknown.status == 2);
  CHECK(unknown.err.find("one of cpu, cuda") != std::string::npos);
  if (harness::why_no_device().empty()) return;  // there is a GPU: tests/harness_cuda
  for (char const* command : {"run", "sweep", "demo"}) {
    auto const o = f.run_with({command, "--backend", "cuda", "--json", f.file("none.json")});
    CHECK(o.status == 2);
    CHECK(o.out.empty());
    CHECK(o.err == "buddy-harness: --backend cuda: " + harness::why_no_device() + "\n");
    CHECK_FALSE(std::filesystem::exists(f.file("none.json")));
  }
}

TEST_CASE("sweep writes a line for each row", "[harness][cli]") {
  fixture const f;
  auto const o = f.run_with({"sweep", "--policies", "all_resident,fetch,live_score", "--cache-ratios", "0.75,0.5",
                             "--json", f.file("s.jsonl"), "--csv", f.file("s.csv")});
  INFO(o.err);
  REQUIRE(o.status == 0);
  auto const lines = lines_of(f.file("s.jsonl"));
  CHECK(o.out.find("start: cold") != std::string::npos);
  REQUIRE(lines.size() == 5);  // all_resident once, two policies at two ratios
  CHECK(lines[0]["policy"] == "all_resident");
  CHECK(lines[0]["stall_share"] == 0.0);
  CHECK(lines[4]["policy"] == "live_score");
  CHECK(lines[4]["cache_ratio"] == 0.5);
  std::ifstream csv{f.file("s.csv")};
  CHECK(std::count(std::istreambuf_iterator<char>{csv}, {}, '\n') == 6);
}

TEST_CASE("profile writes what the other commands read", "[harness][cli]") {
  fixture const f;
  auto o = f.run_with({"profile", "--out", f.file("p.safetensors"), "--json", f.file("p.json")});
  INFO(o.err);
  REQUIRE(o.status == 0);
  auto const p = buddy::io::read_profile(f.file("p.safetensors"));
  CHECK(p.shape.n_experts == 16);
  CHECK(p.n_tokens >= 300);
  CHECK_FALSE(p.router_cosine.empty());
  auto const lines = lines_of(f.file("p.json"));
  REQUIRE(lines.size() == 1);
  CHECK(lines[0]["kind"] == "profile");
  CHECK(lines[0]["identity"] == p.model);
  CHECK(lines[0]["n_tokens"] == p.n_tokens);
  for (auto const* const table : {&p.output_cosine, &p.output_cka, &p.output_frobenius})
    CHECK(table->size() == p.coactivations.size());
  o = f.run_with({"run", "--policy", "buddymoe", "--tau", "0.5", "--warm", "--profile", f.file("p.safetensors")});
  CHECK(o.status == 0);
}

TEST_CASE("profile keeps the counts of a base and compares outputs anew", "[harness][cli]") {
  fixture const f;
  REQUIRE(f.run_with({"profile", "--out", f.file("a")}).status == 0);
  auto base = buddy::io::read_profile(f.file("a"));
  base.output_cosine = base.output_cka = base.output_frobenius = {};
  buddy::io::write_profile(f.file("old"), base);
  auto const o =
      f.run_with({"profile", "--base", f.file("old"), "--seed", "2", "--output-tokens", "9", "--out", f.file("b")});
  INFO(o.err);
  REQUIRE(o.status == 0);
  auto made = buddy::io::read_profile(f.file("b"));
  CHECK_FALSE(made.output_cka.empty());
  made.output_cosine = made.output_cka = made.output_frobenius = {};
  CHECK(made == base);
}

TEST_CASE("bad input is answered with one line and status 2, and no file", "[harness][cli]") {
  fixture const f;
  std::ofstream{f.file("empty.txt")};
  std::ofstream{f.file("broken.safetensors")} << "not a profile";
  auto const refused = [&](std::vector<std::string> words, std::string const& part) {
    words.insert(words.end(), {"--json", f.file("never.json")});
    auto const o = f.run_with(words);
    INFO(o.err);
    CHECK(o.status == 2);
    CHECK(o.err.rfind("buddy-harness: ", 0) == 0);
    CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
    CHECK(o.err.find(part) != std::string::npos);
    CHECK(o.out.empty());
    CHECK_FALSE(std::filesystem::exists(f.file("never.json")));
  };
  refused({"run", "--no-such-flag"}, "no-such-flag");
  refused({"run", "--policy", "hope"}, "unknown policy 'hope'");
  refused({"run", "--eviction", "x"}, "unknown eviction 'x'");
  refused({"run", "--on-refused", "x"}, "one of fetch, host, drop");
  refused({"run", "--cache-ratio", "0"}, "cache ratio");
  refused({"run", "--cache-ratio", "1.5"}, "cache ratio");
  refused({"run", "--cache-ratio", "0.01"}, "no slot");
  refused({"run", "--policy", "all_resident", "--cache-ratio", "0.5"}, "cache ratio 1");
  refused({"run", "--rho", "-1"}, "rho");
  refused({"run", "--beta", "2"}, "beta");
  refused({"run", "--policy", "buddymoe", "--tau", "7"}, "tau");
  refused({"run", "--text", f.file("empty.txt")}, "empty.txt");
  refused({"run", "--policy", "buddy", "--profile", f.file("broken.safetensors")}, "broken.safetensors");
  refused({"run", "--profile", f.file("none.safetensors")}, "none.safetensors: cannot be opened");
  refused({"run", "--cache-ratio", ""}, "--cache-ratio: needs a value");
  refused({"run", "--seed", ""}, "--seed: needs a value");
  refused({"run", "--seed", "1073741824"}, "--seed must be below");
  refused({"run", "--warm", "--cold"}, "excludes");
  refused({"run", "--tau", "0.5", "--tau-percentile", "10"}, "excludes");
  refused({"run", "--policy", "buddy", "--search-limit", "0"}, "--search-limit must be at least 1");
  refused({"run", "--policy", "hobbit"}, "low-precision copies");
  refused({"run", "--policy", "cache_prior", "--lambda", "-1"}, "lambda must be in [0, 16]");
  refused({"run", "--policy", "sere", "--outputs", "x"}, "one of cosine, cka, frobenius");
  refused({"run", "--policy", "sere", "--similarity-threshold", "2"}, "similarity-threshold");
  refused({"run", "--policy", "drop_cold", "--cold-factor", "-1"}, "factor must be in [0, 32]");
  refused({"run", "--record-trace", f.file("no/such/folder/t")}, "no such folder");
  refused({"sweep", "--cache-ratios", "0.5,,"}, "cache-ratios");
  refused({"sweep", "--cache-ratios", "0.5,2"}, "cache ratio");
  refused({"sweep", "--cache-ratios", "0.5,.50"}, "0.5 is there twice");
  refused({"sweep", "--policies", "fetch,drop,fetch"}, "fetch is there twice");
  refused({"sweep", "--policies", "fetch,hope"}, "unknown policy 'hope'");
}

TEST_CASE("a command is required, and help is no error", "[harness][cli]") {
  CHECK(run({}).status == 2);
  auto const o = run({"run", "--help"});
  CHECK(o.status == 0);
  for (char const* word : {"buddymoe_rho4", "lfu_decayed", "markov", "entropy_gate", "zero_fill", "--ratio-window"})
    CHECK(o.out.find(word) != std::string::npos);
  CHECK(run({"report", "--in", "no-such-file.jsonl"}).status == 2);
}

}  // namespace
