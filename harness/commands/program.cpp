// SPDX-License-Identifier: Apache-2.0
/// @file
/// Reads the command line, runs one command, and turns what goes wrong into one line.
#include "harness/commands/command.hpp"

#include <buddy/version.hpp>

#include <exception>
#include <iostream>
#include <new>
#include <string>

namespace harness {

namespace {

constexpr int bad_input = 2;

std::string version() {
  return std::to_string(BUDDY_VERSION_MAJOR) + "." + std::to_string(BUDDY_VERSION_MINOR) + "." +
         std::to_string(BUDDY_VERSION_PATCH);
}

int complain(std::string what, int status) {
  if (auto const end = what.find('\n'); end != std::string::npos) what.resize(end);
  std::cerr << "buddy-harness: " << what << '\n';
  return status;
}

/// `--tokens ""` is not a number, and `--json ""` not a file; without this the first would be 0.
void refuse_empty_values(CLI::App& program) {
  auto const check = [](std::string const& value) { return std::string{value.empty() ? "needs a value" : ""}; };
  for (CLI::App* const command : program.get_subcommands({}))
    for (CLI::Option* const option : command->get_options()) option->check(check);
}

/// What was printed has arrived: a full disk or a closed pipe is an error like others.
int flushed(int status) {
  std::cout.flush();
  return std::cout ? status : complain("standard output cannot be written", 1);
}

int parse_and_run(int argc, char const* const* argv) {
  CLI::App program{
      "Runs a mixture-of-experts model whose experts do not all fit into fast memory, and measures what each way of "
      "dealing with the missing ones gains and costs. Quality is measured; time is modelled, or measured on a GPU.",
      "buddy-harness"};
  program.set_version_flag("--version", version());
  program.require_subcommand(1);
  command_action action;
  add_run_command(program, action);
  add_sweep_command(program, action);
  add_demo_command(program, action);
  add_profile_command(program, action);
  add_generate_command(program, action);
  add_replay_command(program, action);
  add_convert_command(program, action);
  add_pareto_command(program, action);
  add_guard_command(program, action);
  add_plan_command(program, action);
  add_calibrate_command(program, action);
  add_layers_command(program, action);
  add_report_command(program, action);
  refuse_empty_values(program);
  try {
    program.parse(argc, argv);
  } catch (CLI::ParseError const& e) {
    if (e.get_exit_code() == 0) return program.exit(e);  // --help, --version
    return complain(e.what(), bad_input);
  }
  return action();
}

}  // namespace

int run_program(int argc, char const* const* argv) {
  try {
    return flushed(parse_and_run(argc, argv));
  } catch (std::bad_alloc const&) {
    return complain("there is not enough memory for this", bad_input);
  } catch (std::exception const& e) {
    return complain(e.what(), bad_input);
  }
}

}  // namespace harness
