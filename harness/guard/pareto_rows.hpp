// SPDX-License-Identifier: Apache-2.0
/// @file
/// The rows of the comparison: each method with the settings of its knob, from careful to careless.
#pragma once

#include "harness/policy/settings.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace harness {

struct pareto_row {
  std::string method;
  std::string knob;
  policy_settings settings;
};

/// @param stand_ins  of the methods that have some; their bytes come off the slots
[[nodiscard]] std::vector<pareto_row> pareto_rows(std::string const& stand_ins, double cache_ratio, std::uint64_t seed);

}  // namespace harness
