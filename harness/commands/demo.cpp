// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness demo`: the table of the README, from nothing but the repository.
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/commands/session_flags.hpp"
#include "harness/report/findings.hpp"
#include "harness/report/json.hpp"
#include "harness/report/result_table.hpp"
#include "harness/report/text_table.hpp"

#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace harness {

namespace {

struct demo_flags {
  session_flags session{16384};
  std::string json;
  std::string csv;
};

std::vector<policy_settings> demo_rows(std::uint64_t seed) {
  auto rows = grid(
      {"all_resident", "fetch", "prefetch", "drop", "random", "buddymoe", "buddymoe_rho4", "live_score", "drop_light"},
      {0.75, 0.5, 0.375});
  for (policy_settings& row : rows) {
    row.warm = row.cache_ratio != 1.0;  // the steady state: all start with the same experts
    row.seed = seed;
  }
  return rows;
}

int demo(demo_flags const& flags) {
  require_outputs({{"--json", flags.json}, {"--csv", flags.csv}});
  auto const rows = demo_rows(flags.session.seed());
  session s{flags.session.options()};
  s.prepare(rows);
  auto const results = run_rows(s, rows, flags.session.n_threads(), progress_line{rows.size()});
  std::cout << "A mixture-of-experts model (" << results.front().model
            << ") reads text while only part of its experts is in fast memory.\n"
               "Each row deals with the missing ones in another way; all rows of a ratio have the same bytes.\n";
  print_results(std::cout, results);
  std::cout << '\n';
  print_legend(std::cout, results);
  std::cout << "\nAt cache ratio 0.5:\n";
  for (std::string const& sentence : findings(results, 0.5)) std::cout << "- " << sentence << '\n';
  write_if_named(flags.json, to_json_lines(results));
  write_if_named(flags.csv, to_csv(results));
  return 0;
}

}  // namespace

void add_demo_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<demo_flags>();
  CLI::App& command = *program.add_subcommand("demo", "the main table: nine policies at three cache ratios");
  flags->session.add_to(command);
  command.add_option("--json", flags->json, "write one line for each run to this file");
  command.add_option("--csv", flags->csv, "write the table to this file");
  command.callback([&action, flags] { action = [flags] { return demo(*flags); }; });
}

}  // namespace harness
