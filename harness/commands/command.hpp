// SPDX-License-Identifier: Apache-2.0
/// @file
/// What every command of the program offers.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>

namespace harness {

/// Each adds itself to the program and leaves what it does in `action`, which runs after all flags were read.
/// The action returns the exit status and may throw `buddy::config_error`.
using command_action = std::function<int()>;

void add_run_command(CLI::App& program, command_action& action);
void add_sweep_command(CLI::App& program, command_action& action);
void add_profile_command(CLI::App& program, command_action& action);
void add_demo_command(CLI::App& program, command_action& action);
void add_generate_command(CLI::App& program, command_action& action);
void add_replay_command(CLI::App& program, command_action& action);
void add_convert_command(CLI::App& program, command_action& action);
void add_guard_command(CLI::App& program, command_action& action);
void add_pareto_command(CLI::App& program, command_action& action);
void add_plan_command(CLI::App& program, command_action& action);
void add_calibrate_command(CLI::App& program, command_action& action);
void add_layers_command(CLI::App& program, command_action& action);
void add_report_command(CLI::App& program, command_action& action);

/// The whole program but for `main`.
/// @returns 0; 2 with one line on stderr when the command cannot be done as asked; 1 when stdout cannot be written
int run_program(int argc, char const* const* argv);

}  // namespace harness
