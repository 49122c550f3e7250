// SPDX-License-Identifier: Apache-2.0
/// @file
/// Replays for people and for programs.
#pragma once

#include "harness/replay/replay.hpp"

#include <ostream>
#include <string>
#include <vector>

namespace harness {

struct replay_tables {
  bool per_layer = false;
  bool per_sequence = false;
};

/// Rows of one trace, then the bounds of each budget.
void print_replays(std::ostream& out, std::vector<replay_result> const& rows, replay_tables const& tables);

/// One object a line, in the format of all results.
[[nodiscard]] std::string replay_json_lines(std::vector<replay_result> const& rows);
[[nodiscard]] std::string replay_csv(std::vector<replay_result> const& rows);

}  // namespace harness
