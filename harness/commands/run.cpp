// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness run`: one policy at one cache ratio.
#include "harness/commands/command.hpp"
#include "harness/commands/policy_flags.hpp"
#include "harness/commands/session_flags.hpp"
#include "harness/policy/presets.hpp"
#include "harness/report/json.hpp"
#include "harness/report/run_summary.hpp"

#include <buddy/error.hpp>
#include <buddy/io/trace_io.hpp>

#include <iostream>
#include <memory>
#include <optional>
#include <string>

namespace harness {

namespace {

struct run_flags {
  session_flags session;
  policy_flags policy;
  std::string name = "fetch";
  std::optional<double> cache_ratio;
  std::string json;
  std::string trace;
};

policy_settings settings_of(run_flags const& flags) {
  policy_settings settings = preset_settings(flags.name);
  if (flags.cache_ratio) {
    if (settings.cache_ratio == 1.0 && *flags.cache_ratio != 1.0)
      throw buddy::config_error("policy '" + flags.name + "' has cache ratio 1");
    settings.cache_ratio = *flags.cache_ratio;
  }
  settings.seed = flags.session.seed();
  flags.policy.apply(settings);
  return settings;
}

void save_trace(std::string const& file, buddy::trace_recorder const& recorder) {
  buddy::routing_trace trace = recorder.trace();
  trace.source = "buddy-harness run";
  buddy::io::write_trace(file, trace);
}

int run(run_flags const& flags) {
  policy_settings const settings = settings_of(flags);
  require_folder_of(flags.json);
  require_folder_of(flags.trace);
  session s{flags.session.options()};
  s.prepare({settings});
  std::optional<buddy::trace_recorder> recorder;
  if (!flags.trace.empty()) recorder.emplace(s.model().shape(), s.model().identity());
  run_result const result = s.run(settings, recorder ? &*recorder : nullptr);
  if (recorder) save_trace(flags.trace, *recorder);
  write_if_named(flags.json, to_json_lines({result}));
  print_summary(std::cout, result);
  return 0;
}

}  // namespace

void add_run_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<run_flags>();
  CLI::App& command = *program.add_subcommand("run", "one policy at one cache ratio");
  command.add_option("--policy", flags->name, "a name of the list below; flags change it")->capture_default_str();
  command.add_option("--cache-ratio", flags->cache_ratio, "share of each layer's experts that fit, in (0, 1]");
  flags->session.add_to(command);
  command.add_option("--json", flags->json, "write the result to this file");
  command.add_option("--record-trace", flags->trace, "write the routing to this file");
  flags->policy.add_to(command);
  command.footer(component_help());
  command.callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace harness
