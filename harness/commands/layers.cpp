// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness layers`: stacks as large as those of public models, mode beside mode.
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/commands/session_flags.hpp"
#include "harness/commands/timeline_flags.hpp"
#include "harness/layers/layers_backend.hpp"
#include "harness/layers/layers_report.hpp"
#include "harness/layers/layers_run.hpp"

#include <buddy/error.hpp>
#include <buddy/io/trace_io.hpp>

#include <cmath>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace harness {

namespace {

struct layers_flags {
  std::string backend = "modelled";
  std::string shape = "deepseek-v2-lite";
  std::optional<std::uint32_t> hidden, width;
  std::optional<std::uint16_t> layers, experts, top_k;
  std::optional<double> rest_mib;
  std::string type = "bf16";
  std::string routing = "profile";
  std::string curve;
  std::string modes = "all_resident,on_demand,prefetch_markov,host_lane,q_star,drop,substitute,substitute_refill";
  mode_options mode;
  std::uint32_t batch = 1;
  std::uint32_t chunk = 0;
  std::uint32_t warm_steps = 32, round_steps = 32, n_rounds = 5;
  std::string hardware = "rtx4090-pcie4";
  std::uint32_t n_threads = 0;
  std::string json;
  timeline_flags timeline;
};

std::uint64_t bytes_of_mib(double mib) {
  if (!(mib >= 0.0 && mib <= 1048576.0)) throw buddy::config_error("--rest-mib must be in [0, 1048576]");
  return static_cast<std::uint64_t>(std::llround(mib * 1024 * 1024));
}

layer_stack stack_of(layers_flags const& f) {
  layer_stack s = find_stack(f.shape);
  bool const changed = f.hidden || f.width || f.experts || f.top_k;
  if (f.hidden) s.record.hidden = *f.hidden;
  if (f.width) s.record.width = *f.width;
  if (f.layers) s.n_layers = *f.layers;
  if (f.experts) s.n_experts = *f.experts;
  if (f.top_k) s.top_k = *f.top_k;
  if (f.rest_mib) s.rest_bytes = bytes_of_mib(*f.rest_mib);
  if (f.type != "bf16" && f.type != "f16") throw buddy::config_error("--type '" + f.type + "': one of bf16, f16");
  s.record.type = f.type == "f16" ? buddy::weight_type::f16 : buddy::weight_type::bf16;
  if (changed) s.name += "-like";
  validate(s);
  return s;
}

/// The hit curve belongs to the named shape even where its sizes were changed.
step_routing routing_of(layers_flags const& f, layer_stack const& s, std::size_t n_steps) {
  std::uint32_t const n = f.chunk != 0 ? f.chunk : f.batch;
  bool const consecutive = f.chunk != 0;
  if (f.routing == "router") return routing_from_router(s, n_steps, n, consecutive, f.mode.seed);
  if (f.routing != "profile") return routing_from_trace(s, buddy::io::read_trace(f.routing), n_steps, n, consecutive);
  return routing_from_profile(s, f.curve.empty() ? f.shape : f.curve, n_steps, n, consecutive, f.mode.seed);
}

void require_sizes(layers_flags const& f) {
  auto const within = [](char const* flag, std::uint32_t x, std::uint32_t least, std::uint32_t most) {
    if (x < least || x > most)
      throw buddy::config_error(std::string{flag} + " must be in [" + std::to_string(least) + ", " +
                                std::to_string(most) + "]");
  };
  within("--batch", f.batch, 1, 64);
  if (f.chunk != 0) within("--prefill", f.chunk, 2, 8192);
  if (f.chunk != 0 && f.batch != 1) throw buddy::config_error("--batch and --prefill exclude each other");
  within("--warm-up", f.warm_steps, 1, 100'000);
  within("--steps", f.round_steps, 1, 100'000);
  within("--rounds", f.n_rounds, 1, 1000);
  if (!(f.mode.cache_ratio > 0.0 && f.mode.cache_ratio < 1.0))
    throw buddy::config_error("--cache-ratio must be in (0, 1): all_resident runs beside it");
  if (f.backend != "modelled" && f.backend != "cpu" && f.backend != "cuda")
    throw buddy::config_error("--backend '" + f.backend + "': one of modelled, cpu, cuda");
}

/// A pool must hold something.
void require_slots(layers_flags const& f, layer_stack const& s) {
  if (static_cast<std::uint32_t>(f.mode.cache_ratio * s.n_experts + 1e-9) == 0)
    throw buddy::config_error("--cache-ratio leaves no slot for " + std::to_string(s.n_experts) + " experts");
}

/// The trace that the oracle reads stays where it is: the plan is not copied afterwards.
void plan_modes(layers_flags const& f, layers_plan& plan) {
  mode_options options = f.mode;
  options.max_tokens = plan.routing.n_tokens;
  options.future = &plan.routing.trace;
  for (std::string const& name : split_list("--modes", f.modes)) {
    layer_mode const& mode = find_mode(name);
    if (mode.needs_router && plan.routing.routers.empty())
      throw buddy::config_error("mode " + name + " needs what the routers read: --routing router");
    plan.modes.push_back(settings_of(mode, options));
    plan.exact.push_back(mode.exact);
  }
}

std::unique_ptr<layers_plan> plan_of(layers_flags const& f) {
  auto plan = std::make_unique<layers_plan>();
  plan->stack = stack_of(f);
  require_slots(f, plan->stack);
  plan->prefill = f.chunk != 0;
  plan->warm_steps = f.warm_steps, plan->round_steps = f.round_steps, plan->n_rounds = f.n_rounds;
  plan->routing = routing_of(f, plan->stack, plan->n_steps());
  plan_modes(f, *plan);
  plan->profile = profile_of_warm_up(*plan);
  return plan;
}

layers_result run_on(layers_flags const& f, layers_plan const& plan, hardware const& machine, timeline* drawn) {
  if (f.backend == "modelled") return run_modelled(plan, machine, drawn);
  memory_need const need = f.backend == "cpu" ? cpu_memory(plan) : cuda_memory(plan);
  std::uint64_t const available = available_memory();
  std::cout << describe(need, available) << std::endl;  // before it is taken
  require_memory(need, available);
  return f.backend == "cpu" ? run_on_cpu(plan, f.n_threads, drawn) : run_on_cuda(plan, machine, drawn);
}

int layers(layers_flags const& f) {
  require_sizes(f);
  require_outputs({{"--json", f.json}, {"--trace-timeline", f.timeline.file()}});
  require_different({{"--routing", f.routing}, {"--json", f.json}, {"--trace-timeline", f.timeline.file()}});
  if (f.backend == "cuda")
    if (auto const why = why_no_cuda(); !why.empty()) throw buddy::config_error("--backend cuda cannot run: " + why);
  hardware const machine = load_hardware(f.hardware);
  auto const plan = plan_of(f);
  auto drawn = f.timeline.make();
  layers_result result = run_on(f, *plan, machine, drawn ? &*drawn : nullptr);
  result.cache_ratio = f.mode.cache_ratio;
  result.seed = f.mode.seed;
  if (f.backend != "modelled") predict(*plan, result);
  print_layers(std::cout, result);
  write_if_named(f.json, layers_json_lines(result));
  if (drawn)
    f.timeline.write(*drawn, {f.backend == "modelled" ? "modelled" : "measured", result.machine.name, result.stack.name,
                              result.modes.back().settings.name});
  return 0;
}

void add_stack_flags(CLI::App& command, layers_flags& f) {
  std::string names;
  for (layer_stack const& s : builtin_stacks()) names += (names.empty() ? "" : ", ") + s.name;
  command.add_option("--shape", f.shape, "sizes of the stack: " + names)->capture_default_str();
  command.add_option("--layers", f.layers, "as many layers instead");
  command.add_option("--experts", f.experts, "as many experts a layer instead");
  command.add_option("--top-k", f.top_k, "as many experts a token instead");
  command.add_option("--hidden", f.hidden, "length of a token's vector instead");
  command.add_option("--width", f.width, "rows of an expert's gate instead");
  command.add_option("--rest-mib", f.rest_mib, "MiB of other weights that a layer reads instead");
  command.add_option("--type", f.type, "format of the weights: bf16, f16")->capture_default_str();
}

void add_work_flags(CLI::App& command, layers_flags& f) {
  command.add_option("--routing", f.routing, "profile (drawn from a hit curve), router, or a trace file")
      ->capture_default_str();
  command.add_option("--curve", f.curve, "profile: the hit curve of this shape, or a published one");
  command.add_option("--batch", f.batch, "tokens of a decoded step, 1 to 64: as many streams")->capture_default_str();
  command.add_option("--prefill", f.chunk, "run chunks of so many prompt tokens instead");
  command.add_option("--warm-up", f.warm_steps, "steps before the first round; the profile is counted on them")
      ->capture_default_str();
  command.add_option("--steps", f.round_steps, "steps of a round")->capture_default_str();
  command.add_option("--rounds", f.n_rounds, "rounds of each mode, in turns")->capture_default_str();
  command.add_option("--seed", f.mode.seed, "of everything that is drawn")->capture_default_str();
}

std::string mode_help() {
  std::string text = "modes:\n";
  for (layer_mode const& m : layer_modes()) text += "  " + std::string{m.name} + ": " + std::string{m.help} + "\n";
  return text;
}

}  // namespace

void add_layers_command(CLI::App& program, command_action& action) {
  auto const f = std::make_shared<layers_flags>();
  CLI::App& command = *program.add_subcommand("layers", "stacks of the size of public models, mode beside mode");
  command.add_option("--backend", f->backend, "modelled (a virtual clock), cpu or cuda (really computes)")
      ->capture_default_str();
  add_stack_flags(command, *f);
  add_work_flags(command, *f);
  command.add_option("--modes", f->modes, "comma-separated, see below")->capture_default_str();
  command.add_option("--cache-ratio", f->mode.cache_ratio, "share of each layer's experts that fit, in (0, 1)")
      ->capture_default_str();
  command.add_option("--share", f->mode.share, "share of the misses that substitute and substitute_refill replace")
      ->capture_default_str();
  command.add_option("--selector", f->mode.selector, "who stands in: random_resident, coactivation, zero_fill")
      ->capture_default_str();
  command.add_option("--eviction", f->mode.eviction, "of every mode's cache")->capture_default_str();
  command
      .add_option("--hardware", f->hardware,
                  "machine that is modelled; of the other backends only what they do not measure")
      ->capture_default_str();
  command.add_option("--threads", f->n_threads, "cpu: threads that compute; 0: one for each core")
      ->capture_default_str();
  command.add_option("--json", f->json, "write one line for each mode to this file");
  f->timeline.add_to(command);
  command.footer(mode_help());
  command.callback([&action, f] { action = [f] { return layers(*f); }; });
}

}  // namespace harness
