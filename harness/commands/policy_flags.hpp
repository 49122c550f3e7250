// SPDX-License-Identifier: Apache-2.0
/// @file
/// The flags that change a named policy.
#pragma once

#include "harness/policy/settings.hpp"

#include <CLI/CLI.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace harness {

/// What was given on the command line, in no need of a policy yet.
class policy_flags {
 public:
  /// Adds all component flags. The flags must outlive the parsing.
  void add_to(CLI::App& command);

  /// All but `--eviction`, for a command that takes several.
  void add_all_but_eviction_to(CLI::App& command);

  /// Tokens of `--split-window`: the first of a trace, which the split is made from; 0: all.
  [[nodiscard]] std::size_t split_window() const noexcept { return split_window_; }

  /// @throws buddy::config_error when a word is not among those a flag knows, or the trace of the split is none
  void apply(policy_settings& settings) const;

 private:
  template <class T>
  CLI::Option* add(CLI::App& command, std::string const& flag, std::string const& help,
                   std::function<void(policy_settings&, T const&)> set);
  CLI::Option* add_switch(CLI::App& command, std::string const& flag, std::string const& help,
                          std::function<void(policy_settings&)> set);
  void add_eviction(CLI::App& command);
  void add_components(CLI::App& command);
  void add_split(CLI::App& command);
  void add_rules(CLI::App& command);
  void add_budgets(CLI::App& command);
  void add_losses(CLI::App& command);
  void add_gate(CLI::App& command);
  void add_other_gates(CLI::App& command);
  void add_other_selectors(CLI::App& command);
  void add_lists(CLI::App& command);
  void add_stand_ins(CLI::App& command);

  std::vector<std::function<void(policy_settings&)>> changes_;
  std::string split_trace_;
  std::size_t split_window_ = 0;
  mutable std::shared_ptr<layer_demand const> demand_;  // read once, for all policies
};

/// "name  what it is", a line each, for --help.
[[nodiscard]] std::string component_help();

}  // namespace harness
