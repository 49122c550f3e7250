// SPDX-License-Identifier: Apache-2.0
/// @file
/// Flags that several commands share.
#pragma once

#include "harness/run/run_result.hpp"
#include "harness/run/session.hpp"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace harness {

/// Which model, which text, which machine.
class session_flags {
 public:
  explicit session_flags(std::uint32_t n_tokens = 4096) { options_.evaluation.n_tokens = n_tokens; }

  /// The flags must outlive the parsing.
  void add_to(CLI::App& command);

  /// @throws buddy::config_error when a word is not known
  [[nodiscard]] session_options options() const;

  [[nodiscard]] std::uint64_t seed() const noexcept { return options_.evaluation.seed; }
  [[nodiscard]] std::uint32_t n_threads() const noexcept { return n_threads_; }

 private:
  session_options options_;
  std::string backend_ = "cpu";
  std::string shape_;  // empty: not given
  std::string tasks_ = "on";
  std::uint32_t n_threads_ = 0;
};

/// Says on stderr how far the rows are, when somebody is looking.
class progress_line {
 public:
  explicit progress_line(std::size_t n_rows);
  void operator()(std::size_t done, run_result const& row) const;

 private:
  std::size_t n_rows_;
  bool visible_;
};

/// "a,b,c" -> a, b, c
/// @throws buddy::config_error naming the flag when there is nothing between two commas, or the same twice
[[nodiscard]] std::vector<std::string> split_list(std::string const& flag, std::string const& list);

/// The same as numbers in (0, 1].
[[nodiscard]] std::vector<double> split_ratios(std::string const& flag, std::string const& list);

/// Every policy at every ratio, in that order; all_resident once, since it does not depend on the ratio.
[[nodiscard]] std::vector<policy_settings> grid(std::vector<std::string> const& policies,
                                                std::vector<double> const& ratios);

}  // namespace harness
