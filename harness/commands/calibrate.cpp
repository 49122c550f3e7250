// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness calibrate`: a hardware profile of this machine.
#include "harness/calibrate/calibration_profile.hpp"
#include "harness/calibrate/cpu_probe.hpp"
#include "harness/calibrate/device_probe.hpp"
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"
#include "harness/layers/layers_backend.hpp"

#include <buddy/error.hpp>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace harness {

namespace {

struct calibrate_flags {
  std::string out;
  std::string name = "calibrated";
  std::string base = "rtx4090-pcie4";
  std::string report;
  std::string device = "auto";
  std::uint32_t mib = 512;
  std::uint32_t n_threads = 0;
};

cpu_probe_options options_of(calibrate_flags const& f) {
  if (f.mib < 32 || f.mib > 65536) throw buddy::config_error("--mib must be in [32, 65536]");
  if (f.n_threads > 1024) throw buddy::config_error("--threads must be at most 1024");
  cpu_probe_options o;
  o.bytes = std::size_t{f.mib} << 20;
  o.n_threads = f.n_threads != 0 ? f.n_threads : std::max(1U, std::thread::hardware_concurrency());
  memory_need const need{o.bytes, o.bytes, 0};
  require_memory(need, available_memory());
  return o;
}

/// Empty when there is no GPU and none was asked for.
std::vector<figure> device_figures(calibrate_flags const& f) {
  if (f.device == "none") return {};
  std::string const why = why_no_device_probe();
  if (why.empty()) return probe_device();
  if (f.device == "cuda") throw buddy::config_error("--device cuda cannot be measured: " + why);
  print_warnings({"device and link come from " + f.base + ": " + why});
  return {};
}

int calibrate(calibrate_flags const& f) {
  require_outputs({{"OUT", f.out}, {"--report", f.report}});
  if (f.device != "auto" && f.device != "none" && f.device != "cuda")
    throw buddy::config_error("--device '" + f.device + "': one of auto, none, cuda");
  if (f.out.size() <= 5 || !f.out.ends_with(".json")) throw buddy::config_error("OUT must end in .json");
  hardware const base = load_hardware(f.base);
  cpu_probe_options const options = options_of(f);
  std::vector<figure> figures = device_figures(f);
  for (figure& x : cpu_probe{steady_nanoseconds{}, options}.measure()) figures.push_back(std::move(x));
  auto const profile = profile_from(base, figures, f.name);
  print_calibration(std::cout, figures, profile);
  write_if_named(f.out, hardware_json(profile.machine, profile.source));
  write_if_named(f.report, calibration_json(figures, profile));
  return 0;
}

}  // namespace

void add_calibrate_command(CLI::App& program, command_action& action) {
  auto const f = std::make_shared<calibrate_flags>();
  CLI::App& command = *program.add_subcommand("calibrate", "measures this machine: a profile for --hardware");
  command.add_option("OUT", f->out, "profile to write, ending in .json")->required();
  command.add_option("--name", f->name, "what the machine is called in reports")->capture_default_str();
  command.add_option("--base", f->base, "machine that gives what is not measured here")->capture_default_str();
  command.add_option("--report", f->report, "write every figure with its spread to this file");
  command.add_option("--device", f->device, "auto: measure a GPU if there is one; none; cuda: fail without one")
      ->capture_default_str();
  command.add_option("--mib", f->mib, "memory that is read in turns; more than the caches hold")->capture_default_str();
  command.add_option("--threads", f->n_threads, "that compute; 0: one for each core")->capture_default_str();
  command.callback([&action, f] { action = [f] { return calibrate(*f); }; });
}

}  // namespace harness
