// SPDX-License-Identifier: Apache-2.0
/// @file
/// The command around stacks of layers: what it prints, writes and refuses.
#include "catch.hpp"
#include "cli_fixture.hpp"
#include "temporary_folder.hpp"

#include <buddy/io/trace_io.hpp>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace {

/// A stack of a few kilobytes.
std::vector<std::string> small(std::vector<std::string> more) {
  std::vector<std::string> words{"layers",    "--layers",  "3",       "--hidden", "32",         "--width", "16",
                                 "--experts", "16",        "--top-k", "2",        "--rest-mib", "0.01",    "--steps",
                                 "6",         "--warm-up", "6",       "--rounds", "3"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST_CASE("layers writes one result line a mode", "[harness][layers][cli]") {
  temporary_folder const folder;
  auto const file = (folder.path() / "r.jsonl").string();
  for (std::string const backend : {"modelled", "cpu"}) {
    auto const r = cli::run(small({"--backend", backend, "--routing", "router", "--json", file, "--threads", "1",
                                   "--modes", "all_resident,on_demand,prefetch_next_gate,substitute"}));
    INFO(backend << ": " << r.err);
    REQUIRE(r.status == 0);
    if (backend == "cpu") CHECK(r.out.find("host memory: ") < r.out.find("mode"));
    auto const lines = cli::lines_of(file);
    REQUIRE(lines.size() == 4);
    for (auto const& line : lines) {
      CHECK(line.at("kind") == "layers");
      CHECK(line.at("backend") == backend);
      CHECK(line.at("timing") == (backend == "cpu" ? "measured" : "modelled"));
      CHECK(line.at("shape") == "deepseek-v2-lite-like");
      CHECK(line.at("n_tokens") == 18);
      CHECK(line.at("rounds") == 3);
      CHECK(line.at("tokens_per_second").get<double>() > 0.0);
      CHECK(line.at("ratio_to_all_resident").at("median").get<double>() > 0.0);
      CHECK(line.at("stall_us_per_layer").get<double>() >= 0.0);
      CHECK(line.at("link_share_of_peak").get<double>() >= 0.0);
      CHECK(line.at("of_prediction").is_null() == (backend == "modelled"));
    }
    CHECK(lines[0].at("policy") == "all_resident");
    CHECK(lines[0].at("ratio_to_all_resident").at("median") == 1.0);
    CHECK(lines[0].at("link_bytes_per_token") == 0.0);
    CHECK(lines[1].at("link_bytes_per_token").get<double>() > 0.0);
    if (backend == "cpu") CHECK(lines[1].at("same_bits_as_all_resident") == true);
    if (backend == "modelled") CHECK(lines[1].at("same_bits_as_all_resident").is_null());
    CHECK(lines[3].at("share").at("fetch") == 0.0);
  }
}

TEST_CASE("layers draws its last mode", "[harness][layers][cli]") {
  temporary_folder const folder;
  auto const file = (folder.path() / "t.json").string();
  auto const r =
      cli::run(small({"--routing", "router", "--modes", "all_resident,on_demand", "--trace-timeline", file}));
  INFO(r.err);
  REQUIRE(r.status == 0);
  std::ifstream in{file};
  auto const drawn = nlohmann::json::parse(in);
  CHECK(drawn.at("otherData").at("policy") == "on_demand");
  std::size_t copies = 0;
  for (auto const& e : drawn.at("traceEvents")) copies += e.value("cat", "") == "demand" ? 1 : 0;
  CHECK(copies != 0);
}

TEST_CASE("layers takes batches, prompts, traces and profiles", "[harness][layers][cli]") {
  CHECK(cli::run(small({"--routing", "router", "--batch", "8"})).status == 0);
  CHECK(cli::run(small({"--routing", "router", "--prefill", "40"})).status == 0);
  CHECK(cli::run(small({"--routing", "router", "--backend", "cpu", "--prefill", "20", "--type", "f16"})).status == 0);
  CHECK(cli::run(small({"--routing", "profile", "--batch", "3"})).status == 0);
  temporary_folder const folder;
  buddy::routing_trace t;
  t.n_layers = 3, t.n_experts = 16, t.top_k = 2;
  for (std::uint16_t i = 0; i != 30; ++i) t.experts.push_back(i % 7), t.experts.push_back(9);
  t.sequence_lengths = {10};
  auto const file = (folder.path() / "t.safetensors").string();
  buddy::io::write_trace(file, t);
  auto const r = cli::run(small({"--routing", file}));
  INFO(r.err);
  CHECK(r.status == 0);
}

TEST_CASE("layers refuses in one line", "[harness][layers][cli]") {
  auto const refused = [](std::vector<std::string> more, std::string const& why) {
    auto const r = cli::run(small(std::move(more)));
    INFO(r.err);
    CHECK(r.status == 2);
    CHECK(r.err.find(why) != std::string::npos);
    CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 1);
  };
  refused({"--backend", "tpu"}, "one of modelled, cpu, cuda");
  refused({"--shape", "gpt"}, "unknown shape 'gpt'");
  refused({"--modes", "fetch"}, "unknown mode 'fetch'");
  refused({"--modes", "prefetch_next_gate"}, "--routing router");
  refused({"--batch", "65"}, "--batch must be in [1, 64]");
  refused({"--batch", "2", "--prefill", "16"}, "exclude each other");
  refused({"--cache-ratio", "1"}, "--cache-ratio must be in (0, 1)");
  refused({"--cache-ratio", "0.01"}, "leaves no slot");
  refused({"--type", "int4"}, "one of bf16, f16");
  refused({"--routing", "no such file"}, "no such file");
  refused({"--share", "2"}, "share");
  auto const odd = cli::run({"layers", "--hidden", "33"});
  CHECK(odd.status == 2);
  CHECK(odd.err.find("multiple of 8") != std::string::npos);
  auto const huge = cli::run({"layers", "--hidden", "131072", "--width", "131072", "--backend", "cpu", "--routing",
                              "router", "--layers", "3", "--warm-up", "1", "--steps", "1", "--rounds", "1"});
  CHECK(huge.status == 2);
  CHECK(huge.err.find("of host memory") != std::string::npos);
  auto const no_gpu = cli::run({"layers", "--backend", "cuda"});
  if (no_gpu.status != 0) CHECK(std::count(no_gpu.err.begin(), no_gpu.err.end(), '\n') == 1);
}

}  // namespace
