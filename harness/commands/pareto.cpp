// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness pareto`: speed against loss for every method at equal bytes, each over the range of its own knob.
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/commands/session_flags.hpp"
#include "harness/guard/pareto_rows.hpp"
#include "harness/report/json.hpp"
#include "harness/report/text_table.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <iostream>
#include <memory>
#include <numbers>
#include <ostream>
#include <string>
#include <vector>

namespace harness {

namespace {

struct pareto_flags {
  session_flags session{16384};
  std::string stand_ins = "zero";
  double cache_ratio = 0.5;
  std::string json;
  std::string csv;
};

double fetch_speed(std::vector<run_result> const& results, std::vector<pareto_row> const& rows) {
  for (std::size_t i = 0; i != rows.size(); ++i)
    if (rows[i].method == "fetch") return results[i].tokens_per_second();
  return 1.0;
}

void print(std::ostream& out, std::vector<pareto_row> const& rows, std::vector<run_result> const& results) {
  text_table table{{"method", "knob", "speed", "KL, bits", "+-", "change", "fetched", "task acc."}};
  double const one = fetch_speed(results, rows);
  for (std::size_t i = 0; i != rows.size(); ++i) {
    run_result const& r = results[i];
    if (i != 0 && rows[i].method != rows[i - 1].method) table.gap();
    table.add({rows[i].method, rows[i].knob, fixed(r.tokens_per_second() / one, 2) + "x",
               r.text ? fixed(r.text->kl_nats.mean / std::numbers::ln2, 5) : "-",
               r.text ? fixed(r.text->kl_nats.standard_error / std::numbers::ln2, 5) : "-",
               r.text ? percent(r.text->change.mean / r.text->bits_per_byte_exact.mean, 2, true) : "-",
               percent(r.share(buddy::resolution::fetch)), r.tasks.empty() ? "-" : fixed(r.task_accuracy().mean, 3)});
  }
  table.print(out);
}

std::string lines_of(std::vector<pareto_row> const& rows, std::vector<run_result> const& results) {
  std::string out;
  for (std::size_t i = 0; i != rows.size(); ++i) {
    auto line = to_json(results[i]);
    line["method"] = rows[i].method;
    line["knob"] = rows[i].knob;
    out += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  return out;
}

std::string csv_of(std::vector<pareto_row> const& rows, std::vector<run_result> const& results) {
  std::string out = "method,knob,tokens_per_second,kl_bits,kl_bits_error,change,change_error,fetched\n";
  for (std::size_t i = 0; i != rows.size(); ++i) {
    run_result const& r = results[i];
    text_metrics const text = r.text.value_or(text_metrics{});
    out += rows[i].method + "," + rows[i].knob + "," + fixed(r.tokens_per_second(), 4) + "," +
           fixed(text.kl_nats.mean / std::numbers::ln2, 6) + "," +
           fixed(text.kl_nats.standard_error / std::numbers::ln2, 6) + "," + fixed(text.change.mean, 6) + "," +
           fixed(text.change.standard_error, 6) + "," + fixed(r.share(buddy::resolution::fetch), 5) + "\n";
  }
  return out;
}

int pareto(pareto_flags const& flags) {
  auto const rows = pareto_rows(flags.stand_ins, flags.cache_ratio, flags.session.seed());
  require_outputs({{"--json", flags.json}, {"--csv", flags.csv}});
  session s{flags.session.options()};
  std::vector<policy_settings> settings;
  for (pareto_row const& row : rows) settings.push_back(row.settings);
  s.prepare(settings);
  auto results = run_rows(s, settings, flags.session.n_threads(), progress_line{rows.size()});
  for (run_result& r : results) r.kind = "pareto";
  print(std::cout, rows, results);
  std::cout
      << "\nAll rows have the same bytes of fast memory, stand-ins included. Speed is modelled, relative to fetching "
         "every miss;\nKL is that of the exact model's predictions from the run's, in bits a byte.\n";
  write_if_named(flags.json, lines_of(rows, results));
  write_if_named(flags.csv, csv_of(rows, results));
  return 0;
}

}  // namespace

void add_pareto_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<pareto_flags>();
  CLI::App& command = *program.add_subcommand("pareto", "speed against loss, every method at equal bytes");
  command.add_option("--stand-ins", flags->stand_ins, "of the methods that have some: a name of the profile's")
      ->capture_default_str();
  command.add_option("--cache-ratio", flags->cache_ratio, "share of each layer's experts that fit")
      ->capture_default_str();
  flags->session.add_to(command);
  command.add_option("--json", flags->json, "write one line for each row to this file; report draws it");
  command.add_option("--csv", flags->csv, "write the table to this file");
  command.callback([&action, flags] { action = [flags] { return pareto(*flags); }; });
}

}  // namespace harness
