// SPDX-License-Identifier: Apache-2.0
/// @file
/// How far a run is from the exact model.
#pragma once

#include "harness/run/evaluation_set.hpp"
#include "harness/run/run_result.hpp"
#include "harness/run/stepped.hpp"

#include <optional>

namespace harness {

/// @returns nothing when the set has no text
[[nodiscard]] std::optional<text_quality> measure_text(evaluation_set const& set, evaluation_logits const& exact,
                                                       evaluation_logits const& run);

/// @returns nothing when the set has no problems
[[nodiscard]] std::optional<task_quality> measure_tasks(evaluation_set const& set, evaluation_logits const& exact,
                                                        evaluation_logits const& run);

}  // namespace harness
