// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness replay`: recorded routing through eviction policies x capacities.
#include "harness/replay/replay.hpp"

#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/commands/policy_flags.hpp"
#include "harness/commands/session_flags.hpp"
#include "harness/commands/timeline_flags.hpp"
#include "harness/policy/presets.hpp"
#include "harness/policy/registry.hpp"
#include "harness/replay/replay_report.hpp"
#include "harness/replay/residency.hpp"
#include "harness/replay/trace_part.hpp"
#include "harness/report/text_table.hpp"
#include "harness/run/for_each.hpp"

#include <buddy/error.hpp>
#include <buddy/io/trace_io.hpp>

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace harness {

namespace {

struct replay_flags {
  std::vector<std::string> traces;
  policy_flags policy;
  std::string name = "fetch";
  std::string evictions = "lru";
  std::string ratios = "0.5";
  std::optional<std::uint64_t> slots;
  std::optional<double> budget_mib;
  bool check_residency = false;
  std::string hardware = "rtx4090-pcie4";
  std::string shape;
  std::size_t first_token = 0;
  std::optional<std::size_t> n_tokens;
  bool reset_per_sequence = false;
  replay_tables tables;
  std::uint64_t seed = 1;
  std::uint32_t n_threads = 0;
  std::string json;
  std::string csv;
  timeline_flags timeline;
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// The named shape, or the one that is called like the trace's model.
charged_shape shape_for(replay_flags const& flags, buddy::routing_trace const& trace) {
  if (flags.shape == "reference") throw buddy::config_error("--shape reference: a trace has no model that runs");
  if (!flags.shape.empty()) return find_shape(flags.shape, {});
  for (charged_shape const& s : builtin_shapes())
    if (lower(trace.model).starts_with(s.name)) return s;
  throw buddy::config_error("no sizes are known of model '" + trace.model + "': name some with --shape");
}

replay_input load(replay_flags const& flags, std::string const& file) {
  auto trace = buddy::io::read_trace(file);
  trace = part_of(trace, flags.first_token, flags.n_tokens.value_or(std::numeric_limits<std::size_t>::max()));
  bool decodes = false;
  for (std::size_t t = 0; t != trace.n_tokens(); ++t) decodes |= trace.phase_of(t) == buddy::phase::decode;
  if (!decodes) throw buddy::config_error(file + ": no decoded token among those to replay");
  replay_input input;
  input.file = std::filesystem::path{file}.filename().string();
  input.charged = shape_for(flags, trace);
  input.machine = load_hardware(flags.hardware);
  input.shape = trace.shape(input.charged.expert_bytes);
  if (flags.reset_per_sequence) {
    input.parts = sequences_of(trace);
  } else {
    input.parts.push_back(std::move(trace));
  }
  return input;
}

/// A per-layer pool holds floor(ratio x experts of a layer), a global one floor(ratio x all experts).
buddy::cache_budget budget_at(replay_input const& input, double ratio, buddy::pool_layout layout) {
  if (layout == buddy::pool_layout::per_layer) return buddy::cache_budget::from_ratio(input.shape, ratio, layout);
  auto const slots = static_cast<std::uint64_t>(ratio * static_cast<double>(input.shape.n_keys()) + 1e-9);
  return {slots * input.shape.expert_bytes, layout};
}

std::uint64_t bytes_of(double mib) {
  if (!(mib > 0.0 && mib < 1e9)) throw buddy::config_error("--budget-mib must be in (0, 1e9)");
  return static_cast<std::uint64_t>(mib * 1024 * 1024);
}

/// The record sizes of a trace that has them, when the budget is one of bytes.
std::vector<buddy::cache_budget> budgets_of(replay_flags const& flags, replay_input const& input,
                                            buddy::pool_layout layout) {
  if (flags.slots) {
    if (*flags.slots == 0 || *flags.slots > input.shape.n_keys())
      throw buddy::config_error("--slots must be in [1, " + std::to_string(input.shape.n_keys()) + "] for " +
                                input.file);
    return {{*flags.slots * input.shape.expert_bytes, layout}};
  }
  if (flags.budget_mib) {
    return {{bytes_of(*flags.budget_mib), layout, input.head().record_bytes}};
  }
  std::vector<buddy::cache_budget> budgets;
  for (double const ratio : split_ratios("--cache-ratio", flags.ratios))
    budgets.push_back(budget_at(input, ratio, layout));
  return budgets;
}

std::vector<policy_settings> settings_of(replay_flags const& flags) {
  std::vector<policy_settings> all;
  for (std::string const& name : split_list("--eviction", flags.evictions)) {
    policy_settings s = preset_settings(flags.name);
    if (s.cache_ratio == 1.0)
      throw buddy::config_error("policy '" + flags.name + "': replay takes its capacity from --cache-ratio");
    s.seed = flags.seed;
    flags.policy.apply(s);
    s.eviction = find_named(evictions(), "eviction", name).name;
    all.push_back(s);
  }
  return all;
}

/// Rows of one trace: capacities x evictions, with the bounds of each capacity.
/// @param drawn  of the only row, or null
std::vector<replay_result> rows_of(replay_flags const& flags, replay_input& input, timeline* drawn) {
  auto const settings = settings_of(flags);
  for (policy_settings const& s : settings) require_replayable(s, input.head());
  if (std::any_of(settings.begin(), settings.end(), needs_profile))
    input.hindsight = hindsight_of(input.parts, input.shape);
  auto const budgets = budgets_of(flags, input, settings.front().pool);
  if (drawn != nullptr && budgets.size() * settings.size() != 1)
    throw buddy::config_error("--trace-timeline goes with one eviction policy and one capacity");
  std::size_t const width = settings.size() + 1;  // the bounds come first: they take longest
  std::vector<replay_bounds> bounds(budgets.size());
  std::vector<replay_result> rows(budgets.size() * settings.size());
  bool const visible = ::isatty(STDERR_FILENO) != 0;
  for_each(
      budgets.size() * width, flags.n_threads,
      [&](std::size_t i) {
        std::size_t const b = i / width;
        if (i % width == 0) {
          bounds[b] = bounds_of(input.parts, input.shape, budgets[b], flags.seed);
        } else {
          rows[b * settings.size() + i % width - 1] = replay(input, settings[i % width - 1], budgets[b], drawn);
        }
      },
      [&](std::size_t done) {
        if (visible)
          std::cerr << "\r\033[K[" << done << "/" << budgets.size() * width << "] " << input.file
                    << (done == budgets.size() * width ? "\r\033[K" : "") << std::flush;
      });
  for (std::size_t i = 0; i != rows.size(); ++i) rows[i].bounds = bounds[i / settings.size()];
  return rows;
}

int compare_residency(replay_flags const& flags) {
  if (!flags.budget_mib)
    throw buddy::config_error("--check-residency needs --budget-mib, the size of the recorded cache");
  if (!flags.json.empty() || !flags.csv.empty())
    throw buddy::config_error("--check-residency writes no --json and no --csv");
  for (std::string const& file : flags.traces) {
    auto const check = check_residency(buddy::io::read_trace(file), bytes_of(*flags.budget_mib));
    if (check.slots == 0) throw buddy::config_error(file + ": no decoded token");
    auto const share = [&](std::uint64_t n) {
      return percent(static_cast<double>(n) / static_cast<double>(check.slots), 2);
    };
    std::cout << file << ": " << check.slots << " decoded slots; recorded hit rate " << share(check.recorded_hits)
              << ", replayed (global LRU by bytes) " << share(check.replayed_hits) << ", same flag in "
              << share(check.agreed) << " of the slots\n";
  }
  return 0;
}

int replay_all(replay_flags const& flags) {
  require_outputs({{"--json", flags.json}, {"--csv", flags.csv}, {"--trace-timeline", flags.timeline.file()}});
  if (flags.timeline.asked() && flags.traces.size() != 1)
    throw buddy::config_error("--trace-timeline goes with one trace");
  for (std::string const& trace : flags.traces) {  // each by itself: a trace may be named twice
    require_different({{"traces", trace}, {"--json", flags.json}});
    require_different({{"traces", trace}, {"--csv", flags.csv}});
    require_different({{"traces", trace}, {"--trace-timeline", flags.timeline.file()}});
  }
  if (flags.check_residency) return compare_residency(flags);
  std::vector<replay_result> all;
  auto drawn = flags.timeline.make();
  for (std::string const& file : flags.traces) {
    replay_input input = load(flags, file);
    auto rows = rows_of(flags, input, drawn ? &*drawn : nullptr);
    if (!all.empty()) std::cout << '\n';
    print_replays(std::cout, rows, flags.tables);
    all.insert(all.end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
  }
  if (drawn) {
    run_result const& r = all.front().run;
    flags.timeline.write(*drawn, {"modelled", r.machine.name, r.shape.name, r.settings.name});
  }
  write_if_named(flags.json, replay_json_lines(all));
  write_if_named(flags.csv, replay_csv(all));
  return 0;
}

void add_capacity_flags(CLI::App& command, replay_flags& flags) {
  auto* const ratio =
      command.add_option("--cache-ratio", flags.ratios, "shares of the experts that fit, in (0, 1], comma-separated");
  auto* const slots = command.add_option("--slots", flags.slots, "records that fit, all layers together");
  auto* const mib = command.add_option("--budget-mib", flags.budget_mib,
                                       "MiB that hold records; of the sizes in the trace if it has them");
  ratio->capture_default_str()->excludes(slots)->excludes(mib);
  slots->excludes(mib);
  command.add_flag("--check-residency", flags.check_residency,
                   "compare the recorded cache with a replay of global LRU by bytes, and do nothing else");
}

}  // namespace

void add_replay_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<replay_flags>();
  CLI::App& command = *program.add_subcommand("replay", "recorded routing through policies x capacities, with bounds");
  command.add_option("traces", flags->traces, "routing traces")->required();
  command.add_option("--policy", flags->name, "a name of the list below; flags change it")->capture_default_str();
  command.add_option("--eviction", flags->evictions, "comma-separated: " + names_of(evictions()))
      ->capture_default_str();
  add_capacity_flags(command, *flags);
  command.add_option("--hardware", flags->hardware, "machine whose time is modelled: a name or a .json file")
      ->capture_default_str();
  command.add_option("--shape", flags->shape, "model whose sizes are charged; default: the trace's model");
  command.add_option("--first-token", flags->first_token, "tokens to pass over")->capture_default_str();
  command.add_option("--tokens", flags->n_tokens, "tokens to replay; default: all");
  command.add_flag("--reset-per-sequence", flags->reset_per_sequence, "each sequence meets an empty cache");
  command.add_flag("--per-layer", flags->tables.per_layer, "a table of hit rates by layer");
  command.add_flag("--per-sequence", flags->tables.per_sequence, "a table of hit rates by sequence");
  command.add_option("--seed", flags->seed, "of everything that is drawn")->capture_default_str();
  command.add_option("--threads", flags->n_threads, "rows that run at once; 0: one for each core, 8 at most")
      ->capture_default_str();
  command.add_option("--json", flags->json, "write one line for each row to this file");
  command.add_option("--csv", flags->csv, "write the table to this file");
  flags->timeline.add_to(command);
  flags->policy.add_all_but_eviction_to(command);
  command.footer(component_help());
  command.callback([&action, flags] { action = [flags] { return replay_all(*flags); }; });
}

}  // namespace harness
