// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness generate`: a routing trace from hit rates.
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/report/published_curves.hpp"

#include <buddy/error.hpp>
#include <buddy/io/mapped_file.hpp>
#include <buddy/io/trace_io.hpp>
#include <buddy/reuse_distances.hpp>
#include <buddy/testing/trace_from_curve.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace harness {

namespace {

struct generate_flags {
  std::uint16_t layers = 0;
  std::uint16_t experts = 0;
  std::uint16_t top_k = 0;
  std::string curve;
  std::string like;
  std::uint32_t n_tokens = 4096;
  std::uint64_t seed = 1;
  std::string out;
};

/// What is generated, before the first token is drawn.
struct recipe {
  buddy::model_shape shape{0, 0, 0, 1};
  std::vector<std::vector<double>> rates;
  std::string source;
};

recipe from_trace(std::string const& file) {
  auto const trace = buddy::io::read_trace(file);
  recipe r{trace.shape(1), {}, "with the hit curves of a trace of " + trace.model};
  buddy::reuse_distances distances{r.shape};
  distances.observe(trace);
  for (std::size_t l = 0; l != distances.n_pools(); ++l)
    r.rates.push_back(buddy::testing::rates_of(distances.histogram(l)));
  return r;
}

/// Lines of `slots rate`; what follows a # is for people.
std::vector<buddy::testing::curve_point> read_points(std::string const& file) {
  if (!std::filesystem::exists(file))
    throw buddy::config_error("--hit-curve '" + file + "': no such file, and no published curve");
  buddy::io::mapped_file const map{file};  // refuses what is no regular file
  auto const bytes = map.bytes();
  std::istringstream in{std::string{reinterpret_cast<char const*>(bytes.data()), bytes.size()}};
  std::vector<buddy::testing::curve_point> points;
  for (std::string line; std::getline(in, line);) {
    line.resize(std::min(line.size(), line.find('#')));
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    std::istringstream words{line};
    buddy::testing::curve_point p;
    std::string rest;
    if (!(words >> p.slots >> p.rate) || words >> rest)
      throw buddy::config_error("--hit-curve '" + file + "': a line must be a number of slots and a rate");
    points.push_back(p);
  }
  return points;
}

/// The sizes that were given count before those of a published curve.
recipe from_curve(generate_flags const& flags) {
  recipe r;
  std::vector<buddy::testing::curve_point> points;
  for (published_curve const& known : published_curves()) {
    if (known.name != flags.curve) continue;
    r.shape = known.shape;
    points = known.points;
    r.source = "with the published hit curve of " + std::string{known.source};
  }
  if (points.empty()) {
    points = read_points(flags.curve);
    r.source = "with a hit curve from a file";
  }
  if (flags.layers != 0) r.shape.n_layers = flags.layers;
  if (flags.experts != 0) r.shape.n_experts = flags.experts;
  if (flags.top_k != 0) r.shape.top_k = flags.top_k;
  if (r.shape.n_layers == 0 || r.shape.n_experts == 0 || r.shape.top_k == 0)
    throw buddy::config_error("this curve does not say all sizes: give --layers, --experts and --top-k");
  buddy::validate(r.shape);
  r.rates.push_back(
      buddy::testing::rates_through({points.data(), static_cast<std::uint32_t>(points.size())}, r.shape.n_experts));
  return r;
}

int generate(generate_flags const& flags) {
  if (flags.curve.empty() == flags.like.empty())
    throw buddy::config_error("generate needs either --hit-curve or --like");
  if (!flags.like.empty() && (flags.layers != 0 || flags.experts != 0 || flags.top_k != 0))
    throw buddy::config_error("--like takes the sizes of its trace: no --layers, --experts or --top-k");
  if (flags.n_tokens == 0) throw buddy::config_error("--tokens must be at least 1");
  require_outputs({{"OUT", flags.out}});
  require_different({{"--like", flags.like}, {"--hit-curve", flags.curve}, {"OUT", flags.out}});
  recipe const r = flags.like.empty() ? from_curve(flags) : from_trace(flags.like);
  auto trace = buddy::testing::trace_from_curves(r.shape, r.rates, flags.n_tokens, flags.seed);
  trace.model = "generated";
  trace.source = "buddy-harness generate: " + std::to_string(flags.n_tokens) + " tokens, seed " +
                 std::to_string(flags.seed) + ", " + r.source;
  buddy::io::write_trace(flags.out, trace);
  std::cout << "wrote " << flags.n_tokens << " tokens of " << r.shape.n_layers << " layers, " << r.shape.n_experts
            << " experts, top-" << r.shape.top_k << ", " << r.source << '\n';
  return 0;
}

std::string curve_names() {
  std::string names;
  for (published_curve const& known : published_curves()) names += ", " + std::string{known.name};
  return names;
}

}  // namespace

void add_generate_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<generate_flags>();
  CLI::App& command = *program.add_subcommand("generate", "a routing trace that hits like a curve, or like another");
  command.add_option("--layers", flags->layers, "MoE layers");
  command.add_option("--experts", flags->experts, "experts of a layer");
  command.add_option("--top-k", flags->top_k, "experts of a token");
  command.add_option("--hit-curve", flags->curve, "a file with lines of slots and LRU hit rate" + curve_names());
  command.add_option("--like", flags->like, "a trace whose hit curves, layer by layer, it gets");
  command.add_option("--tokens", flags->n_tokens, "tokens to draw")->capture_default_str();
  command.add_option("--seed", flags->seed, "of everything that is drawn")->capture_default_str();
  command.add_option("OUT", flags->out, "file to write")->required();
  command.callback([&action, flags] { action = [flags] { return generate(*flags); }; });
}

}  // namespace harness
