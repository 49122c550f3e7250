// SPDX-License-Identifier: Apache-2.0
/// @file
/// What eviction `auto` chose, and why.
#pragma once

#include "harness/auto_eviction.hpp"

#include <ostream>
#include <vector>

namespace harness {

/// A line for each pool; nothing when there is none.
void print_choices(std::ostream& out, std::vector<auto_eviction::report_type> const& pools);

}  // namespace harness
