// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness guard`: is the promised loss kept, domain by domain?
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/commands/policy_flags.hpp"
#include "harness/commands/session_flags.hpp"
#include "harness/guard/streams.hpp"
#include "harness/policy/presets.hpp"
#include "harness/report/json.hpp"
#include "harness/report/text_table.hpp"
#include "harness/run/evaluation_set.hpp"
#include "harness/run/for_each.hpp"

#include <buddy/error.hpp>
#include <buddy/expected_error.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <numbers>
#include <string>
#include <vector>

namespace harness {

namespace {

struct guard_flags {
  session_flags session{4000};
  policy_flags policy;
  std::string name = "bounded";
  std::string promises = "0.25%,0.5%,1%,2%";
  std::string texts;
  double cache_ratio = 0.5;
  bool oracle = true;
  std::string json;
  std::string csv;
};

/// One promise on one stream.
struct trial {
  std::string stream;
  run_result run;
  double fetched_plainly{};    ///< share of slots that policy fetch copies
  double fetched_by_oracle{};  ///< of one that knows true losses, at as much loss
  bool has_oracle{};

  [[nodiscard]] double target() const { return static_cast<double>(run.guard->target_ub) / buddy::micro_bits; }
  [[nodiscard]] double lost() const { return run.text->kl_nats.mean / std::numbers::ln2; }
  [[nodiscard]] double lost_error() const { return run.text->kl_nats.standard_error / std::numbers::ln2; }
  [[nodiscard]] double fetched() const { return run.share(buddy::resolution::fetch); }
  [[nodiscard]] double avoided_of_oracle() const {
    return (fetched_plainly - fetched()) / (fetched_plainly - fetched_by_oracle);
  }
};

std::vector<sequence> texts_of(guard_flags const& flags, std::size_t positions) {
  constexpr std::uint32_t all = 1U << 30;
  if (flags.texts.empty()) return evaluation_set({"builtin", false, all, 1}, positions);
  std::vector<sequence> windows;
  for (std::string const& file : split_list("--texts", flags.texts))
    for (sequence& s : file_windows(file, positions + 1)) windows.push_back(std::move(s));
  return windows;
}

policy_settings row_of(guard_flags const& flags, std::string const& promise) {
  policy_settings s = preset_settings(flags.name);
  s.cache_ratio = flags.cache_ratio;
  s.warm = true;
  s.seed = flags.session.seed();
  flags.policy.apply(s);
  s.loss.promise = loss_promise::parse(promise);
  if (!needs_losses(s) || !s.loss.guard) throw buddy::config_error("guard needs a policy with a guard: bounded");
  return s;
}

/// All promises on one stream.
std::vector<trial> trials_on(session const& s, guard_flags const& flags, stream const& on,
                             std::vector<policy_settings> const& rows) {
  exact_moe exact;
  auto const logits = logits_of(s.model(), on.sequences, exact);
  policy_settings plain = preset_settings("fetch");
  plain.cache_ratio = flags.cache_ratio;
  plain.warm = true;
  double const fetched = s.run_on(plain, on.sequences, logits).share(buddy::resolution::fetch);
  std::vector<trial> trials;
  for (policy_settings const& row : rows) {
    trial t{on.name, s.run_on(row, on.sequences, logits), fetched, 0.0, flags.oracle};
    if (flags.oracle)
      t.fetched_by_oracle = s.run_oracle(row, on.sequences, logits, t.target()).share(buddy::resolution::fetch);
    t.run.kind = "guard";
    trials.push_back(std::move(t));
  }
  return trials;
}

void print(std::ostream& out, std::vector<trial> const& trials) {
  text_table table{{"stream", "promise", "target", "lost (KL)", "+-", "of target", "change", "fetched", "oracle",
                    "avoided", "audits", "drifts", "alarms"}};
  std::string before;
  for (trial const& t : trials) {
    if (!before.empty() && before != t.stream) table.gap();
    before = t.stream;
    guard_report const& g = *t.run.guard;
    table.add({t.stream, t.run.settings.loss.promise->text(), fixed(t.target(), 5), fixed(t.lost(), 5),
               fixed(t.lost_error(), 5), fixed(t.lost() / t.target(), 2), fixed(t.run.text->change.mean, 5, true),
               percent(t.fetched()), t.has_oracle ? percent(t.fetched_by_oracle) : "-",
               t.has_oracle ? percent(t.avoided_of_oracle(), 0) : "-",
               percent(static_cast<double>(g.audit_ns) / static_cast<double>(t.run.time.elapsed_ns), 2),
               std::to_string(g.status.drifts), std::to_string(g.status.alarms)});
  }
  table.print(out);
}

nlohmann::json line_of(trial const& t) {
  auto line = to_json(t.run);
  line["stream"] = t.stream;
  line["lost_bits"] = t.lost();
  line["fetched_plainly"] = t.fetched_plainly;
  line["fetched_by_oracle"] = t.has_oracle ? nlohmann::json(t.fetched_by_oracle) : nlohmann::json(nullptr);
  return line;
}

std::string csv_of(std::vector<trial> const& trials) {
  std::string out = "stream,promise,target,lost,lost_error,change,fetched,fetched_plainly,fetched_by_oracle\n";
  for (trial const& t : trials)
    out += t.stream + "," + t.run.settings.loss.promise->text() + "," + fixed(t.target(), 6) + "," +
           fixed(t.lost(), 6) + "," + fixed(t.lost_error(), 6) + "," + fixed(t.run.text->change.mean, 6) + "," +
           fixed(t.fetched(), 4) + "," + fixed(t.fetched_plainly, 4) + "," +
           (t.has_oracle ? fixed(t.fetched_by_oracle, 4) : "") + "\n";
  return out;
}

int guard(guard_flags const& flags) {
  std::vector<policy_settings> rows;
  for (std::string const& promise : split_list("--promises", flags.promises)) rows.push_back(row_of(flags, promise));
  require_outputs({{"--json", flags.json}, {"--csv", flags.csv}});
  session s{flags.session.options()};
  s.prepare(rows);
  for (policy_settings& row : rows) row.loss.link = s.link_of(row);  // once, not for each stream
  std::size_t const positions = s.model().config().max_positions;
  std::uint32_t const n = flags.session.options().evaluation.n_tokens;
  auto streams = guard_streams(texts_of(flags, positions), evaluation_set({"none", true, n, 1}, positions), n,
                               positions, flags.session.seed());
  for (stream& on : streams)
    for (sequence& x : on.sequences) x.answers.clear();  // all bytes count alike
  std::vector<std::vector<trial>> of_stream(streams.size());
  for_each(
      streams.size(), flags.session.n_threads(),
      [&](std::size_t i) { of_stream[i] = trials_on(s, flags, streams[i], rows); }, [](std::size_t) {});
  std::vector<trial> trials;
  std::string lines;
  for (auto& some : of_stream)
    for (trial& t : some) {
      lines += line_of(t).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
      trials.push_back(std::move(t));
    }
  print(std::cout, trials);
  std::cout
      << "\nLost: KL of the exact model's predictions from the run's, in bits a byte; promises in percent are of "
      << fixed(s.calibration_bits(), 4)
      << " bits.\nOracle: fetched by a policy that knows every slot's true loss, at a loss of the target; avoided: "
         "share of the\nfetches that it avoids, against policy fetch. Audits: share of the modelled time.\n";
  write_if_named(flags.json, lines);
  write_if_named(flags.csv, csv_of(trials));
  return 0;
}

}  // namespace

void add_guard_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<guard_flags>();
  CLI::App& command = *program.add_subcommand("guard", "promised against realised loss, over domains and switches");
  command.add_option("--policy", flags->name, "a policy with a guard")->capture_default_str();
  command.add_option("--promises", flags->promises, "as --max-loss, comma-separated")->capture_default_str();
  command.add_option("--texts", flags->texts, "files, comma-separated, each a domain; else the built-in ones");
  command.add_option("--cache-ratio", flags->cache_ratio, "share of each layer's experts that fit")
      ->capture_default_str();
  command.add_flag("!--no-oracle", flags->oracle, "leaves the bound out");
  flags->session.add_to(command);
  command.add_option("--json", flags->json, "write one line for each row to this file");
  command.add_option("--csv", flags->csv, "write the table to this file");
  flags->policy.add_to(command);
  command.footer("--tokens is the length of each stream.");
  command.callback([&action, flags] { action = [flags] { return guard(*flags); }; });
}

}  // namespace harness
