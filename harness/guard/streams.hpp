// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a guard is tried on: domains one by one, one that calibration has never seen, and switches in mid-stream.
#pragma once

#include "harness/tasks/sequences.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace harness {

struct stream {
  std::string name;
  std::vector<sequence> sequences;
};

/// Rows of numbers, as a spreadsheet writes them: neither training nor calibration has such text.
[[nodiscard]] std::string number_table(std::size_t n_bytes, std::uint64_t seed);

/// One stream of `n_tokens` predictions for each text and for the problems of all tasks, one of number tables, and two
/// that go from one to another in the middle. A text that is shorter begins anew.
/// @param texts      windows that are not of calibration, by domain
/// @param positions  most predictions of one sequence
[[nodiscard]] std::vector<stream> guard_streams(std::vector<sequence> const& texts,
                                                std::vector<sequence> const& problems, std::size_t n_tokens,
                                                std::size_t positions, std::uint64_t seed);

}  // namespace harness
