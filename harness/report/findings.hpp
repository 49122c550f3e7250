// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a set of rows shows, in sentences.
#pragma once

#include "harness/run/run_result.hpp"

#include <string>
#include <vector>

namespace harness {

/// Three plain sentences about the rows at one cache ratio, each computed from them; fewer when rows are missing.
[[nodiscard]] std::vector<std::string> findings(std::vector<run_result> const& rows, double cache_ratio);

}  // namespace harness
