// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness sweep`: policies x cache ratios.
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/commands/policy_flags.hpp"
#include "harness/commands/session_flags.hpp"
#include "harness/report/json.hpp"
#include "harness/report/result_table.hpp"

#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace harness {

namespace {

struct sweep_flags {
  session_flags session;
  policy_flags policy;
  std::string policies = "all_resident,fetch,prefetch,drop,random,buddymoe,live_score,drop_light";
  std::string ratios = "0.75,0.5,0.375";
  std::string json;
  std::string csv;
};

int sweep(sweep_flags const& flags) {
  auto rows = grid(split_list("--policies", flags.policies), split_ratios("--cache-ratios", flags.ratios));
  for (policy_settings& row : rows) {
    row.seed = flags.session.seed();
    flags.policy.apply(row);
  }
  require_outputs({{"--json", flags.json}, {"--csv", flags.csv}});
  session s{flags.session.options()};
  s.prepare(rows);
  print_warnings(s.warnings(rows));
  auto results = run_rows(s, rows, flags.session.n_threads(), progress_line{rows.size()});
  for (run_result& r : results) r.kind = "sweep";
  print_results(std::cout, results);
  std::cout << '\n';
  print_legend(std::cout, results);
  write_if_named(flags.json, to_json_lines(results));
  write_if_named(flags.csv, to_csv(results));
  return 0;
}

}  // namespace

void add_sweep_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<sweep_flags>();
  CLI::App& command = *program.add_subcommand("sweep", "policies x cache ratios: a table, JSON lines, CSV");
  command.add_option("--policies", flags->policies, "names, comma-separated")->capture_default_str();
  command.add_option("--cache-ratios", flags->ratios, "numbers in (0, 1], comma-separated")->capture_default_str();
  flags->session.add_to(command);
  command.add_option("--json", flags->json, "write one line for each run to this file");
  command.add_option("--csv", flags->csv, "write the table to this file");
  flags->policy.add_to(command);
  command.footer(component_help());
  command.callback([&action, flags] { action = [flags] { return sweep(*flags); }; });
}

}  // namespace harness
