// SPDX-License-Identifier: Apache-2.0
// Two and four processes over loopback: the bits of a single one, bytes saved by stand-ins, and what is said of a rank
// that dies or hangs.
#include "torch/adapted_model.hpp"
#include "torch/processes.hpp"
#include "torch/torch_catch.hpp"
#include "torch/words.hpp"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

using namespace buddy::torch;
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t n_tokens = 24;
fs::path const text = fs::path{BUDDY_SOURCE_DIR} / "harness" / "tasks" / "text" / "english-prose.txt";

struct scratch_folder {
  fs::path path;
  scratch_folder() {
    std::string name = (fs::temp_directory_path() / "buddy-ranks-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~scratch_folder() { fs::remove_all(path); }
};

using words = std::vector<std::string>;

/// All ranks of a group, with `common` for each and `last` for the last rank.
std::vector<ended_process> run_ranks(fs::path const& scratch, std::size_t n, words const& common,
                                     words const& last = {}) {
  std::vector<words> commands;
  for (std::size_t r = 0; r != n; ++r) {
    words c{BUDDY_EXPERT_PARALLEL,
            (fs::path{BUDDY_SOURCE_DIR} / "models" / "reference").string(),
            text.string(),
            (scratch / "rendezvous").string(),
            std::to_string(r),
            std::to_string(n),
            "--tokens",
            std::to_string(n_tokens),
            "--logits",
            (scratch / ("logits." + std::to_string(r))).string()};
    c.insert(c.end(), common.begin(), common.end());
    if (r + 1 == n) c.insert(c.end(), last.begin(), last.end());
    commands.push_back(c);
  }
  return run_processes(commands, scratch, std::chrono::seconds{120});
}

/// The logits of every rank's text from one process with one `MoE` a layer.
std::string single_process(std::size_t n_ranks) {
  std::string const all = contents_of(text);
  adapted a{0.5, {.exact = true, .refill_after = 0}, row_math::row_exact};
  std::string bytes;
  for (std::size_t r = 0; r != n_ranks; ++r) {
    a.model->begin_sequence();
    for (std::int64_t t = 0; t != n_tokens; ++t) {
      auto const token = tokens_of({all[r * n_tokens + static_cast<std::size_t>(t)]});
      auto const logits = a.model->step(token).contiguous();
      bytes.append(reinterpret_cast<char const*>(logits.data_ptr<float>()), 256 * sizeof(float));
    }
  }
  return bytes;
}

std::string logits_of(fs::path const& scratch, std::size_t n) {
  std::string bytes;
  for (std::size_t r = 0; r != n; ++r) bytes += contents_of(scratch / ("logits." + std::to_string(r)));
  return bytes;
}

/// A number of a rank's report.
double value_of(std::string const& report, std::string const& name) {
  auto const at = report.find("\"" + name + "\": ");
  REQUIRE(at != std::string::npos);
  return std::stod(report.substr(at + name.size() + 4));
}

}  // namespace

TEST_CASE("exact mode gives a single process's bits on two and on four", "[torch][parallel]") {
  for (std::size_t const n : {2U, 4U}) {
    std::string const expected = single_process(n);
    for (char const* replicas : {"0", "5"}) {
      scratch_folder const scratch;
      auto const ends = run_ranks(scratch.path, n, {"--replicas", replicas});
      for (auto const& e : ends) {
        INFO(e.output);
        REQUIRE(e.code == 0);
      }
      REQUIRE(expected.size() == n * n_tokens * 256 * sizeof(float));
      CHECK(logits_of(scratch.path, n) == expected);
      // Six experts of each of four layers; what is not here goes out and comes back: 2 x 512 bytes, and an id.
      double const away = value_of(ends[0].output, "network");
      CHECK(value_of(ends[0].output, "network_bytes") == Approx(away * 24 * (2 * 512 + 4)).epsilon(0.001));
      CHECK(away > (replicas[0] == '0' ? 0.3 : 0.1));
    }
  }
}

TEST_CASE("stand-ins that are nearer keep bytes off the wire, replicas do too", "[torch][parallel]") {
  auto const total = [](words const& options, char const* name) {
    scratch_folder const scratch;
    double sum = 0.0;
    words common{"--ranks-per-host", "2"};
    common.insert(common.end(), options.begin(), options.end());
    for (auto const& e : run_ranks(scratch.path, 4, common)) {
      INFO(e.output);
      REQUIRE(e.code == 0);
      sum += value_of(e.output, name);
    }
    return sum;
  };
  double const exact = total({}, "network_bytes");
  CHECK(total({"--max-share-network", "0.15"}, "network_bytes") < 0.8 * exact);
  CHECK(total({"--replicas", "8"}, "network_bytes") < 0.9 * exact);
  CHECK(total({"--max-share-network", "0.15"}, "replaced") > 0.1);
}

TEST_CASE("a rank that dies ends in an error on the others", "[torch][parallel]") {
  scratch_folder const scratch;
  auto const ends = run_ranks(scratch.path, 4, {"--timeout-ms", "8000"}, {"--die-at", "5"});
  CHECK(ends[3].code == 9);
  for (std::size_t r = 0; r != 3; ++r) {
    INFO(ends[r].output);
    CHECK(ends[r].code == 3);
    CHECK(says(ends[r].output, "rank " + std::to_string(r) + " lost the others at layer"));
    CHECK(contents_of(scratch.path / ("logits." + std::to_string(r))).size() <= 5 * 256 * sizeof(float));
  }
}

TEST_CASE("a rank that hangs ends in an error on the others within the timeout", "[torch][parallel]") {
  scratch_folder const scratch;
  auto const ends = run_ranks(scratch.path, 2, {"--timeout-ms", "3000"}, {"--hang-at", "5", "--hang-seconds", "20"});
  INFO(ends[0].output);
  CHECK(ends[0].code == 3);
  CHECK(says(ends[0].output, "rank 0 lost the others at layer 0 (they died, or did not answer within 3000 ms)"));
  CHECK(ends[0].seconds + 5 < ends[1].seconds);  // it did not wait for the one that sleeps
  CHECK(ends[1].code != 0);                      // it wakes up alone
}

TEST_CASE("a rank that ends early is missed, and no wrong result is written", "[torch][parallel]") {
  scratch_folder const scratch;
  auto const ends = run_ranks(scratch.path, 2, {"--timeout-ms", "8000"}, {"--tokens", "10"});
  CHECK(ends[1].code == 0);
  CHECK(ends[0].code == 3);
  CHECK(contents_of(scratch.path / "logits.0").size() == 10 * 256 * sizeof(float));
}
