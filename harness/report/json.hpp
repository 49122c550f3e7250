// SPDX-License-Identifier: Apache-2.0
/// @file
/// Results as JSON lines: one object a run.
#pragma once

#include "harness/run/run_result.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace harness {

/// `null` where a figure does not apply. Equal runs give equal objects: no clock of the machine enters.
[[nodiscard]] nlohmann::ordered_json to_json(run_result const& result);

/// One line for each result.
[[nodiscard]] std::string to_json_lines(std::vector<run_result> const& results);

}  // namespace harness
