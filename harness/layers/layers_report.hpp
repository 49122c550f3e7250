// SPDX-License-Identifier: Apache-2.0
/// @file
/// Modes of a stack for people and for programs.
#pragma once

#include "harness/layers/layers_result.hpp"

#include <ostream>
#include <string>

namespace harness {

/// What ran, then a row for each mode.
void print_layers(std::ostream& out, layers_result const& result);

/// One object a line, `kind` "layers", in the format of all results.
[[nodiscard]] std::string layers_json_lines(layers_result const& result);

}  // namespace harness
