// SPDX-License-Identifier: Apache-2.0
/// @file
/// Calibration text that needs no corpus: the model writes it.
#pragma once

#include "harness/model/weights.hpp"
#include "harness/tasks/sequences.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// Goes on from the beginnings of these sequences, in turns, each byte drawn from the exact model's distribution.
/// @param n_predictions  of all sequences together
/// @pre `begun` is not empty
[[nodiscard]] std::vector<sequence> self_written(weights const& model, std::span<sequence const> begun,
                                                 std::size_t n_predictions, std::uint64_t seed);

}  // namespace harness
