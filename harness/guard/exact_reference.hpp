// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the exact model does on calibration text: what promises and expected losses are relative to.
#pragma once

#include "harness/model/weights.hpp"
#include "harness/tasks/sequences.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// The exact model on calibration text.
struct exact_reference {
  double bits_per_byte{};
  std::vector<std::int32_t> norm_log2_q16;  ///< [n_layers] of 1 / sqrt(mean(1 / |h|^2)): where errors count once
};

[[nodiscard]] exact_reference measure_exact(weights const& model, std::span<sequence const> calibration);

}  // namespace harness
