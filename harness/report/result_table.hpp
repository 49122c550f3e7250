// SPDX-License-Identifier: Apache-2.0
/// @file
/// Results side by side, for people and for spreadsheets.
#pragma once

#include "harness/run/run_result.hpp"

#include <ostream>
#include <string>
#include <vector>

namespace harness {

/// One line a run, blank lines between cache ratios.
///
/// Speed is relative to the policy "fetch" at the same ratio, when it is among the rows.
void print_results(std::ostream& out, std::vector<run_result> const& results);

/// The same figures with a header line, comma-separated, full precision; quoted as RFC 4180 says.
[[nodiscard]] std::string to_csv(std::vector<run_result> const& results);

/// What the columns mean, and on which machine and shape the time is modelled.
/// @pre there is a result
void print_legend(std::ostream& out, std::vector<run_result> const& results);

/// The row of `policy` at this cache ratio, or null; "all_resident" matches at any ratio.
[[nodiscard]] run_result const* find_row(std::vector<run_result> const& results, std::string_view policy,
                                         double cache_ratio);

}  // namespace harness
