// SPDX-License-Identifier: Apache-2.0
/// @file
/// Policies on a model with random weights, through the same code as the program.
#include "catch.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/presets.hpp"
#include "harness/report/json.hpp"
#include "harness/report/run_summary.hpp"
#include "harness/run/calibration.hpp"
#include "harness/run/in_parallel.hpp"
#include "harness/run/policy_moe.hpp"
#include "harness/run/session.hpp"
#include "harness/run/stepped.hpp"
#include "random_model.hpp"
#include "temporary_folder.hpp"

#include <buddy/error.hpp>
#include <buddy/io/profile_io.hpp>

#include <atomic>
#include <cstdint>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using namespace harness;

model_config sixteen_experts() {
  model_config c = random_model::tiny();
  c.n_experts = 16;
  c.top_k = 4;
  return c;
}

/// A model and 400 predictions: half text, half problems.
struct fixture {
  fixture() { random_model::write(sixteen_experts(), folder.path(), 5); }

  [[nodiscard]] session_options options() const {
    session_options o;
    o.model = folder.path();
    o.evaluation.n_tokens = 400;
    return o;
  }

  [[nodiscard]] run_result run(policy_settings const& settings) const {
    session s{options()};
    s.prepare({settings});
    return s.run(settings);
  }

  temporary_folder folder;
};

evaluation_logits logits_under(weights const& model, policy_settings const& settings,
                               std::vector<sequence> const& set) {
  charged_shape const sizes = find_shape("olmoe-1b-7b", {});
  buddy::model_shape shape = model.shape();
  shape.expert_bytes = sizes.expert_bytes;
  composed_policy composed{settings, shape, nullptr};
  offload_clock clock{load_hardware("a100-pcie4"), sizes};
  policy_moe moe{composed.policy(), clock, nullptr};
  return logits_of(model, set, moe);
}

TEST_CASE("exact mode gives the bits of the all-resident model", "[harness][run]") {
  fixture const f;
  weights const model = weights::load(f.folder.path());
  auto const set = evaluation_set(f.options().evaluation, model.config().max_positions);
  exact_moe exact;
  evaluation_logits const expected = logits_of(model, set, exact);

  CHECK(logits_under(model, preset_settings("all_resident"), set) == expected);
  CHECK(logits_under(model, preset_settings("fetch"), set) == expected);
  CHECK(logits_under(model, preset_settings("prefetch"), set) == expected);
  policy_settings settings = preset_settings("random");
  CHECK_FALSE(logits_under(model, settings, set) == expected);
  settings.rules.exact = true;
  CHECK(logits_under(model, settings, set) == expected);
  settings.rules.on_refused = buddy::resolution::host;
  CHECK(logits_under(model, settings, set) == expected);
}

TEST_CASE("experts left to the CPU cost time and no quality", "[harness][run]") {
  fixture const f;
  policy_settings settings = preset_settings("fetch");
  settings.rules.on_refused = buddy::resolution::host;
  run_result const r = f.run(settings);
  REQUIRE(r.text.has_value());
  CHECK(r.share(buddy::resolution::host) > 0.0);
  CHECK(r.text->change.mean == 0.0);
  CHECK(r.text->kl_nats.mean == 0.0);
  CHECK(r.text->top1_agreement.mean == 1.0);
  CHECK(r.stall_share() > 0.0);
}

TEST_CASE("equal seeds give equal results, whatever the number of threads", "[harness][run]") {
  fixture const f;
  std::vector<policy_settings> rows;
  for (char const* name : {"fetch", "random", "drop", "buddymoe"}) rows.push_back(preset_settings(name));
  auto const run = [&](std::uint32_t n_threads) {
    session s{f.options()};
    s.prepare(rows);
    return to_json_lines(run_rows(s, rows, n_threads, [](std::size_t, run_result const&) {}));
  };
  std::string const once = run(1);
  CHECK(once == run(1));
  CHECK(once == run(3));
  for (policy_settings& row : rows) row.seed = 2;
  CHECK(once != run(1));
}

/// The second thread that anybody asks for cannot be had.
struct scarce_thread {
  template <class Work>
  explicit scarce_thread(Work const& work) {
    if (++n_asked == 2) throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    thread = std::jthread{work};
  }
  std::jthread thread;
  static inline int n_asked = 0;
};

TEST_CASE("work is done by the threads that can be had", "[harness][run]") {
  std::atomic<int> n{0};
  auto const work = [&] { ++n; };
  in_parallel(3, work);
  CHECK(n == 3);
  in_parallel(0, work);  // the caller's own
  CHECK(n == 4);
  in_parallel<scarce_thread>(5, work);
  CHECK(n == 6);  // the caller and the one that started
}

TEST_CASE("a session calibrates with its own seed", "[harness][run]") {
  fixture const f;
  session_options o = f.options();
  policy_settings const settings = preset_settings("buddy");
  auto const with_profile = [&](std::uint32_t seed) {
    calibration_options calibration;
    calibration.seed = seed;
    auto const file = f.folder / "calibrated.safetensors";
    buddy::io::write_profile(file, calibrate(weights::load(f.folder.path()), calibration));
    o.profile = file.string();
    session s{o};
    s.prepare({settings});
    return to_json_lines({s.run(settings)});
  };
  o.evaluation.seed = 7;
  session own{o};
  own.prepare({settings});
  std::string const calibrated_here = to_json_lines({own.run(settings)});
  CHECK(calibrated_here == with_profile(7));
  CHECK(calibrated_here != with_profile(1));
}

TEST_CASE("no seed draws the problems of both calibration and evaluation", "[harness][run]") {
  evaluation_options o;
  o.text = "none";
  o.seed = (1U << 30) - 1;
  CHECK_NOTHROW(evaluation_set(o, 256));
  CHECK_NOTHROW(calibration_set(o, 256));
  o.seed = 1U << 30;  // calibration's for seed 0
  CHECK_THROWS_AS(evaluation_set(o, 256), buddy::config_error);
  CHECK_THROWS_AS(calibration_set(o, 256), buddy::config_error);
}

TEST_CASE("a profile that is not there is refused even when no policy needs one", "[harness][run]") {
  fixture const f;
  session_options o = f.options();
  o.profile = (f.folder / "none.safetensors").string();
  CHECK_THROWS_AS(session{o}, buddy::config_error);
}

TEST_CASE("the figures of a run agree with each other", "[harness][run]") {
  fixture const f;
  run_result const r = f.run(preset_settings("drop"));
  // 2 layers and top-4.
  CHECK(r.total.tokens == r.n_tokens * 2);
  CHECK(r.total.lookups == r.n_tokens * 2 * 4);
  CHECK(r.total.slots_ending(buddy::resolution::own) == r.total.hits);
  CHECK(r.total.slots_ending(buddy::resolution::drop) == r.total.lookups - r.total.hits);
  CHECK(r.time.layers == r.n_tokens * 2);
  CHECK(r.time.link_bytes[0] == 0);
  CHECK(r.time.link_bytes[2] % 17'301'504 == 0);  // whole records of the charged shape
  CHECK(r.tasks.size() == 8);
  REQUIRE_FALSE(r.domains.empty());
  std::ostringstream summary;
  print_summary(summary, r);
  if (r.domains.size() > 1) CHECK(summary.str().find(r.domains.begin()->first) != std::string::npos);
}

TEST_CASE("runs refuse what cannot be run", "[harness][run]") {
  fixture const f;
  auto const refused = [&](auto const& change) {
    session_options o = f.options();
    change(o);
    CHECK_THROWS_AS(session{o}, buddy::config_error);
  };
  refused([](session_options& o) { o.model = "no-such-folder"; });
  refused([](session_options& o) { o.hardware = "abacus"; });
  refused([](session_options& o) { o.shape = "cube"; });
  refused([](session_options& o) { o.evaluation.text = "no-such-text.txt"; });
  refused([](session_options& o) { o.evaluation.n_tokens = 0; });
  refused([](session_options& o) {
    o.evaluation.text = "none";
    o.evaluation.tasks = false;
  });
}

TEST_CASE("a profile of another model is refused", "[harness][run]") {
  fixture const f;
  temporary_folder other;
  random_model::write(sixteen_experts(), other.path(), 6);
  auto const file = other.path() / "profile.safetensors";
  calibration_options calibration;
  calibration.n_tokens = 200;
  buddy::io::write_profile(file, calibrate(weights::load(other.path()), calibration));
  session_options o = f.options();
  o.profile = file.string();
  session s{o};
  CHECK_THROWS_AS(s.prepare({preset_settings("buddy")}), buddy::config_error);
  CHECK_NOTHROW(s.prepare({preset_settings("fetch")}));  // needs none
}

TEST_CASE("calibration and evaluation read different bytes", "[harness][run]") {
  evaluation_options o;
  o.n_tokens = 1'000'000;  // all of the built-in text
  auto const chunk_set = [](std::vector<sequence> const& sequences) {
    std::set<std::vector<std::uint8_t>> chunks;
    for (sequence const& s : sequences) {
      if (s.answers.empty()) chunks.insert(s.bytes);
    }
    return chunks;
  };
  o.tasks = false;
  auto const read = chunk_set(evaluation_set(o, 256));
  auto const kept = chunk_set(calibration_set(o, 256));
  CHECK(read.size() > 20);
  CHECK(kept.size() > 5);
  for (auto const& chunk : kept) CHECK(read.count(chunk) == 0);
}

TEST_CASE("calibration and evaluation read from every built-in text", "[harness][run]") {
  evaluation_options o;
  o.n_tokens = 8192;
  o.tasks = false;
  auto const domains = [](std::vector<sequence> const& sequences) {
    std::set<std::string> names;
    for (sequence const& s : sequences) names.insert(s.domain);
    return names;
  };
  std::set<std::string> all;
  for (auto const& window : folder_windows(builtin_text_folder(), 257)) all.insert(window.domain);
  CHECK(all.size() > 1);
  CHECK(domains(evaluation_set(o, 256)) == all);
  o.n_tokens = 2048;  // 8 windows: the first six are of six texts
  CHECK(domains(calibration_set(o, 256)) == all);
}

TEST_CASE("an evaluation has the tokens that were asked for, and turns between text and tasks", "[harness][run]") {
  evaluation_options o;
  o.n_tokens = 4096;
  auto const set = evaluation_set(o, 256);
  // Half of it text, to the token; eight tasks in four sequences of 64 predictions.
  CHECK(count_predictions(set) == 2048 + 8 * 4 * 64);
  CHECK(set.front().answers.empty());
  std::size_t longest_run_of_tasks = 0;
  std::size_t run = 0;
  for (sequence const& s : set) {
    run = s.answers.empty() ? 0 : run + 1;
    longest_run_of_tasks = std::max(longest_run_of_tasks, run);
  }
  CHECK(longest_run_of_tasks <= 4);  // 8 windows of text among 32 sequences of problems
}

}  // namespace
