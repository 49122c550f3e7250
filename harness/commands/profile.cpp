// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness profile`: what calibration on a text gives.
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/fidelity/stand_in_calibration.hpp"
#include "harness/report/provenance.hpp"
#include "harness/report/text_table.hpp"
#include "harness/run/calibration.hpp"
#include "harness/run/session.hpp"

#include <buddy/io/profile_io.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

namespace harness {

namespace {

struct profile_flags {
  std::filesystem::path model = session_options{}.model;
  calibration_options calibration{};
  stand_in_options stand_ins{};
  std::uint32_t record_bits = 16;
  std::string out;
  std::string json;
  std::string base;

  [[nodiscard]] bool wants_stand_ins() const noexcept { return !stand_ins.names.empty() || stand_ins.buddies; }
};

/// What was calibrated, and on what.
std::string json_line(profile_flags const& flags, buddy::profile const& p) {
  using json = nlohmann::ordered_json;
  auto const commit = source_commit();
  json const line{{"kind", "profile"},
                  {"profile", flags.out},
                  {"model", flags.model.string()},
                  {"identity", p.model},
                  {"text", flags.calibration.text},
                  {"seed", flags.calibration.seed},
                  {"commit", commit ? json(*commit) : json(nullptr)},
                  {"n_tokens", p.n_tokens},
                  {"n_layers", p.shape.n_layers},
                  {"n_experts", p.shape.n_experts},
                  {"top_k", p.shape.top_k}};
  return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

/// Says what each part took: on a large model this is the time one has to plan for.
void measure_stand_ins(profile_flags const& flags, weights const& model, buddy::profile& p) {
  auto const set = calibration_texts(model, flags.calibration);
  add_stand_ins(model, set, flags.stand_ins, p, [](std::string const& what, double seconds) {
    std::cout << "  " << what << ": " << fixed(seconds, 1) << " s\n" << std::flush;
  });
  for (buddy::stand_in_set const& s : p.stand_ins)
    std::cout << "  " << s.name << ": " << s.record_bytes << " of " << p.shape.expert_bytes << " bytes an expert\n";
}

int make_profile(profile_flags const& flags) {
  require_outputs({{"--out", flags.out}, {"--json", flags.json}});
  weights model = weights::load(flags.model);
  if (flags.record_bits == 4) model.round_experts();
  buddy::profile p = flags.base.empty()
                         ? calibrate(model, flags.calibration)
                         : with_outputs(model, flags.calibration,
                                        buddy::io::read_profile(flags.base, model.identity(), model.shape()));
  if (flags.wants_stand_ins()) measure_stand_ins(flags, model, p);
  buddy::io::write_profile(flags.out, p);
  std::cout << flags.out << ": " << p.n_tokens << " tokens through " << p.shape.n_layers << " layers of "
            << p.shape.n_experts << " experts, top-" << p.shape.top_k << '\n';
  write_if_named(flags.json, json_line(flags, p));
  return 0;
}

}  // namespace

void add_profile_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<profile_flags>();
  CLI::App& command = *program.add_subcommand("profile", "calibrate: write the model's profile");
  command.add_option("--model", flags->model, "folder with config.json and model.safetensors")->capture_default_str();
  command.add_option("--text", flags->calibration.text, "text that is read: a file, builtin or none")
      ->capture_default_str();
  command.add_option("--tokens", flags->calibration.n_tokens, "tokens to read, text and tasks together")
      ->capture_default_str();
  command.add_option("--seed", flags->calibration.seed, "of the tasks")->capture_default_str();
  command
      .add_option("--output-tokens", flags->calibration.n_outputs, "tokens on which all experts' outputs are compared")
      ->check(CLI::Range(1U, 65536U))
      ->capture_default_str();
  command
      .add_option("--record-bits", flags->record_bits, "experts as the model has them, or rounded to 4 bits: 16 | 4")
      ->check(CLI::IsMember({16U, 4U}))
      ->capture_default_str();
  command.add_option(
      "--stand-ins", flags->stand_ins.names,
      "fit these for every expert: mean, low_rank:R[,8], truncated:U,B[,dB][,gN], low_bit:B[,dB][,gN][,c]");
  command.add_flag("--expected-errors", flags->stand_ins.buddies,
                   "measure what each expert costs in each other's place");
  command.add_option("--fit-tokens", flags->stand_ins.fit_tokens, "most tokens that an expert is fitted to")
      ->check(CLI::Range(1U, 1U << 24))
      ->capture_default_str();
  command.add_option("--pair-tokens", flags->stand_ins.buddy_tokens, "tokens on which all pairs are compared")
      ->check(CLI::Range(1U, 1U << 20))
      ->capture_default_str();
  command.add_option("--loss-tokens", flags->stand_ins.loss_tokens, "tokens on which errors are turned into losses")
      ->check(CLI::Range(1U, 1U << 20))
      ->capture_default_str();
  command.add_option("--base", flags->base, "keep the counts of this profile and only compare outputs");
  command.add_option("--out", flags->out, "the file to write")->required();
  command.add_option("--json", flags->json, "write what was calibrated, as one line, to this file");
  command.callback([&action, flags] { action = [flags] { return make_profile(*flags); }; });
}

}  // namespace harness
