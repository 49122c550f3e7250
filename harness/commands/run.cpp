// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness run`: one policy at one cache ratio.
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/commands/policy_flags.hpp"
#include "harness/commands/session_flags.hpp"
#include "harness/commands/timeline_flags.hpp"
#include "harness/policy/presets.hpp"
#include "harness/report/json.hpp"
#include "harness/report/run_summary.hpp"
#include "harness/report/text_table.hpp"

#include <buddy/error.hpp>
#include <buddy/io/residency_io.hpp>
#include <buddy/io/trace_io.hpp>
#include <buddy/types.hpp>

#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace harness {

namespace {

struct run_flags {
  session_flags session;
  policy_flags policy;
  std::string name = "fetch";
  std::optional<double> cache_ratio;
  std::string json;
  std::string trace;
  std::string warm_from;
  std::string residency;
  timeline_flags timeline;
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

/// The name of a file without its folder; what is not printable ASCII becomes '?', since a trace takes UTF-8 only.
std::string plain_name(std::string const& file) {
  std::string name = std::filesystem::path{file}.filename().string();
  for (char& c : name)
    if (c < ' ' || c > '~') c = '?';
  return name;
}

/// Where the routing comes from: after a stand-in the router sees another input, so the policy is part of it.
std::string source_of(evaluation_options const& read, run_result const& r) {
  double const replaced = r.share(buddy::resolution::buddy) + r.share(buddy::resolution::drop);
  return "buddy-harness run: policy " + r.settings.name + ", cache ratio " + fixed(r.settings.cache_ratio, 3) +
         ", start " + start_of(r.settings) + ", routed slots replaced or dropped " + percent(replaced, 2) + ", text " +
         plain_name(read.text) + ", tasks " + (read.tasks ? "on" : "off") + ", " + std::to_string(r.n_tokens) +
         " tokens, seed " + std::to_string(r.seed);
}

void save_trace(std::string const& file, buddy::trace_recorder const& recorder, std::string const& source) {
  buddy::routing_trace trace = recorder.trace();
  trace.source = source;
  buddy::io::write_trace(file, trace);
}

std::vector<buddy::expert_key> saved_residents(std::string const& file, weights const& model) {
  auto const saved = buddy::io::read_residency(file);
  auto const difference = buddy::io::model_difference(saved, model.identity(), model.shape());
  if (!difference.empty()) throw buddy::config_error(file + ": " + difference);
  return saved.experts;
}

int run(run_flags const& flags) {
  policy_settings settings = settings_of(flags);
  require_outputs({{"--json", flags.json},
                   {"--record-trace", flags.trace},
                   {"--save-residency", flags.residency},
                   {"--trace-timeline", flags.timeline.file()}});
  require_different({{"--warm-from", flags.warm_from}, {"--json", flags.json}, {"--record-trace", flags.trace}});
  if (!flags.warm_from.empty() && (settings.warm || settings.cache_ratio == 1.0))
    throw buddy::config_error("--warm-from goes with neither --warm nor a cache ratio of 1");
  session_options const options = flags.session.options();
  if (flags.timeline.asked() && options.backend != backend_kind::cpu)
    throw buddy::config_error("--trace-timeline draws the modelled clock: it does not go with --backend cuda");
  session s{options};
  if (!flags.warm_from.empty()) settings.residents = saved_residents(flags.warm_from, s.model());
  s.prepare({settings});
  print_warnings(s.warnings({settings}));
  std::optional<buddy::trace_recorder> recorder;
  if (!flags.trace.empty()) recorder.emplace(s.model().shape(), s.model().identity());
  auto drawn = flags.timeline.make();
  run_result const result = s.run(settings, recorder ? &*recorder : nullptr, drawn ? &*drawn : nullptr);
  print_summary(std::cout, result);
  if (recorder) save_trace(flags.trace, *recorder, source_of(s.options().evaluation, result));
  if (!flags.residency.empty())
    buddy::io::write_residency(flags.residency, {s.model().identity(), s.model().shape(), result.residents});
  if (drawn) flags.timeline.write(*drawn, {"modelled", result.machine.name, result.shape.name, settings.name});
  write_if_named(flags.json, to_json_lines({result}));
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
  command.add_option("--save-residency", flags->residency, "write the experts that are resident at the end");
  command.add_option("--warm-from", flags->warm_from, "start with the experts of a --save-residency file resident");
  flags->timeline.add_to(command);
  flags->policy.add_to(command);
  command.footer(component_help());
  command.callback([&action, flags] { action = [flags] { return run(*flags); }; });
}

}  // namespace harness
