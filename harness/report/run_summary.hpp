// SPDX-License-Identifier: Apache-2.0
/// @file
/// One result in full.
#pragma once

#include "harness/run/run_result.hpp"

#include <ostream>

namespace harness {

/// Every figure of a run with its name, a line each.
void print_summary(std::ostream& out, run_result const& result);

}  // namespace harness
