// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness plan`: how the bytes of fast memory are best divided between slots and stand-ins.
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/commands/session_flags.hpp"
#include "harness/fidelity/planned_bytes.hpp"
#include "harness/report/text_table.hpp"

#include <buddy/error.hpp>
#include <buddy/io/profile_io.hpp>
#include <buddy/io/trace_io.hpp>

#include <nlohmann/json.hpp>

#include <iostream>
#include <memory>
#include <string>

namespace harness {

namespace {

struct plan_flags {
  std::string model = session_options{}.model.string();
  std::string profile;
  std::string trace;
  std::string json;
  double cache_ratio = 0.5;
  double fetched = 0.0;
  std::uint32_t record_bits = 16;
  std::uint32_t n_tokens = 4096;
  std::uint32_t seed = 1;
};

std::string json_line(plan_flags const& flags, buddy::profile const& p, buddy::stand_in_plan const& plan) {
  using json = nlohmann::ordered_json;
  json line{{"kind", "plan"},
            {"model", p.model},
            {"cache_ratio", flags.cache_ratio},
            {"record_bytes", p.shape.expert_bytes},
            {"fetched_target", flags.fetched},
            {"fetched_share", plan.fetched_share},
            {"loss_bits", plan.loss_bits},
            {"bytes", plan.bytes},
            {"exact", plan.is_exact},
            {"layers", json::array()}};
  for (buddy::planned_layer const& l : plan.layers)
    line["layers"].push_back({{"stand_ins", p.stand_ins[l.offer].name},
                              {"stand_in_bytes", p.stand_ins[l.offer].record_bytes},
                              {"slots", l.slots}});
  return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

void print_plan(plan_flags const& flags, buddy::profile const& p, buddy::stand_in_plan const& plan) {
  text_table table{{"layer", "stand-ins", "bytes each", "share of an expert", "slots"}};
  for (std::size_t l = 0; l != plan.layers.size(); ++l) {
    buddy::stand_in_set const& set = p.stand_ins[plan.layers[l].offer];
    double const share = static_cast<double>(set.record_bytes) / static_cast<double>(p.shape.expert_bytes);
    table.add({std::to_string(l), set.name, std::to_string(set.record_bytes), percent(share, 2),
               std::to_string(plan.layers[l].slots)});
  }
  table.print(std::cout);
  std::cout << "\nexpected loss " << fixed(plan.loss_bits, 5) << " bits a token, " << percent(plan.fetched_share, 2)
            << " of slots fetched, cache ratio " << fixed(flags.cache_ratio, 3) << "; "
            << (plan.is_exact ? "no other split loses less" : "greedy: others may lose a little less") << '\n';
}

int plan(plan_flags const& flags) {
  require_outputs({{"--json", flags.json}});
  if (!(flags.fetched >= 0.0 && flags.fetched <= 1.0)) throw buddy::config_error("--fetched must be in [0, 1]");
  weights model = weights::load(flags.model);
  if (flags.record_bits == 4) model.round_experts();
  auto const p = buddy::io::read_profile(flags.profile, model.identity(), model.shape());
  auto const trace =
      flags.trace.empty() ? calibration_trace(model, flags.n_tokens, flags.seed) : buddy::io::read_trace(flags.trace);
  auto const made = plan_bytes(p, model.shape(), trace, flags.cache_ratio, flags.fetched);
  print_plan(flags, p, made);
  write_if_named(flags.json, json_line(flags, p, made));
  return 0;
}

}  // namespace

void add_plan_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<plan_flags>();
  CLI::App& command = *program.add_subcommand("plan", "divide fast memory between expert slots and stand-ins");
  command.add_option("--model", flags->model, "folder with config.json and model.safetensors")->capture_default_str();
  command.add_option("--profile", flags->profile, "profile with stand-ins (profile --stand-ins)")->required();
  command
      .add_option("--record-bits", flags->record_bits, "experts as the model has them, or rounded to 4 bits: 16 | 4")
      ->check(CLI::IsMember({16U, 4U}))
      ->capture_default_str();
  command.add_option("--trace", flags->trace, "routing to plan for; default: that of calibration text");
  command.add_option("--cache-ratio", flags->cache_ratio, "fast memory, in shares of all experts, in (0, 1]")
      ->capture_default_str();
  command.add_option("--fetched", flags->fetched, "largest share of routed slots that may be fetched")
      ->capture_default_str();
  command.add_option("--tokens", flags->n_tokens, "of calibration text")
      ->check(CLI::Range(1U, 1U << 24))
      ->capture_default_str();
  command.add_option("--seed", flags->seed, "of its problems")->capture_default_str();
  command.add_option("--json", flags->json, "write the plan, as one line, to this file");
  command.callback([&action, flags] { action = [flags] { return plan(*flags); }; });
}

}  // namespace harness
