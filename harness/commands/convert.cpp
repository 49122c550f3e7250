// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness convert`: routing logs of others to traces, and traces to requests for other simulators.
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/formats/oracle_general.hpp"
#include "harness/formats/route_csv.hpp"
#include "harness/formats/routing_lines.hpp"

#include <buddy/error.hpp>
#include <buddy/io/trace_io.hpp>
#include <buddy/io/write_file.hpp>

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

namespace harness {

namespace {

struct convert_flags {
  std::string in;
  std::string out;
  std::string model;
  std::string source;
  std::string licence;
  std::uint32_t n_experts = 0;
};

buddy::routing_trace read(convert_flags const& flags) {
  std::string const kind = std::filesystem::path{flags.in}.extension().string();
  if (kind == ".csv") return read_route_csv(flags.in);
  if (kind == ".jsonl") return read_routing_lines(flags.in, flags.n_experts);
  if (kind == ".safetensors") return buddy::io::read_trace(flags.in);
  throw buddy::config_error(flags.in + ": must end in .csv, .jsonl or .safetensors");
}

/// What a file cannot hold, or says itself, must not be asked for.
void check_flags(convert_flags const& flags) {
  std::string const in = std::filesystem::path{flags.in}.extension().string();
  std::string const out = std::filesystem::path{flags.out}.extension().string();
  if (out != ".safetensors" && out != ".oracleGeneral")
    throw buddy::config_error(flags.out + ": must end in .safetensors or .oracleGeneral");
  if (flags.n_experts != 0 && in != ".jsonl")
    throw buddy::config_error("--n-experts is for .jsonl; " + flags.in + " has its own number");
  bool const described = !flags.model.empty() || !flags.source.empty() || !flags.licence.empty();
  if (described && out != ".safetensors")
    throw buddy::config_error("--model, --source and --licence are for .safetensors; " + flags.out +
                              " cannot hold them");
}

int convert(convert_flags const& flags) {
  check_flags(flags);
  require_outputs({{"OUT", flags.out}});
  require_different({{"IN", flags.in}, {"OUT", flags.out}});
  buddy::routing_trace trace = read(flags);
  if (!flags.model.empty()) trace.model = flags.model;
  if (!flags.source.empty()) trace.source = flags.source;
  if (!flags.licence.empty()) trace.licence = flags.licence;
  if (std::filesystem::path{flags.out}.extension() == ".safetensors") {
    buddy::io::write_trace(flags.out, trace);
  } else {
    auto const requests = oracle_general(trace);
    buddy::io::write_file(flags.out, {requests});
  }
  std::cout << flags.out << ": " << trace.n_tokens() << " tokens in " << trace.sequence_lengths.size() << " sequences, "
            << trace.n_layers << " layers of " << trace.n_experts << " experts, top-" << trace.top_k << '\n';
  return 0;
}

}  // namespace

void add_convert_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<convert_flags>();
  CLI::App& command = *program.add_subcommand("convert", "routing logs to traces, traces to libCacheSim");
  command.add_option("in", flags->in, ".csv (BigMoeOnEdge), .jsonl (ids per token) or .safetensors (trace)")
      ->required();
  command.add_option("out", flags->out, ".safetensors (trace) or .oracleGeneral (libCacheSim)")->required();
  command.add_option("--model", flags->model, "name of the model, where the log does not say it");
  command.add_option("--source", flags->source, "where the routing was recorded");
  command.add_option("--licence", flags->licence, "SPDX identifier");
  command.add_option("--n-experts", flags->n_experts, "experts of a layer, for .jsonl; default: the largest id + 1");
  command.callback([&action, flags] { action = [flags] { return convert(*flags); }; });
}

}  // namespace harness
