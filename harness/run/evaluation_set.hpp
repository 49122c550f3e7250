// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the model reads while it is measured, and while it is calibrated: never the same bytes.
#pragma once

#include "harness/tasks/sequences.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace harness {

struct evaluation_options {
  std::string text = "builtin";  ///< a file, "builtin" or "none"
  bool tasks = true;
  std::uint32_t n_tokens = 4096;  ///< to be predicted, text and tasks together, half and half when there are both
  std::uint32_t seed = 1;         ///< of the problems; below 2^30
};

/// Text and problems take turns, so that neither has the expert cache to itself. A text that is shorter than its share
/// leaves the rest to the tasks.
/// @param positions  that the model knows: most predictions of one sequence
/// @throws buddy::config_error when there is nothing to read or the seed is too large
[[nodiscard]] std::vector<sequence> evaluation_set(evaluation_options const& options, std::size_t positions);

/// The same from the part of the built-in text that evaluation leaves alone, and from other problems.
[[nodiscard]] std::vector<sequence> calibration_set(evaluation_options const& options, std::size_t positions);

/// Predictions of all sequences.
[[nodiscard]] std::size_t count_predictions(std::vector<sequence> const& sequences) noexcept;

}  // namespace harness
