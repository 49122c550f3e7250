// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the model reads while it is measured: windows of a text, and synthetic problems.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace harness {

struct evaluation_options {
  std::string text = "builtin";  ///< a file, "builtin" or "none"
  bool tasks = true;
  std::uint32_t n_tokens = 4096;  ///< text and tasks together, half and half when there are both
  std::uint64_t seed = 1;         ///< of the problems
};

/// Bytes of one sequence that answer a problem: right when each of them, end of line included, is the arg max.
struct answer_span {
  std::string task;
  std::size_t first{};
  std::size_t size{};
};

/// One sequence. Every byte but the last is fed to the model; every byte but the first is predicted.
struct evaluation_sequence {
  std::vector<std::uint8_t> bytes;
  std::vector<answer_span> answers;  ///< empty: plain text

  [[nodiscard]] std::size_t n_steps() const noexcept { return bytes.size() - 1; }
};

/// Text and problems take turns, so that neither has the expert cache to itself.
struct evaluation_set {
  std::vector<evaluation_sequence> sequences;

  [[nodiscard]] std::size_t n_steps() const noexcept {
    std::size_t n = 0;
    for (auto const& s : sequences) n += s.n_steps();
    return n;
  }
};

/// @param window  most steps of one sequence: the positions that the model knows
/// @throws buddy::config_error when there is nothing to read
[[nodiscard]] evaluation_set make_evaluation_set(evaluation_options const& options, std::size_t window);

/// The same from another built-in text and other problems: what a profile may be made from.
[[nodiscard]] evaluation_set make_calibration_set(evaluation_options const& options, std::size_t window);

}  // namespace harness
