// SPDX-License-Identifier: Apache-2.0
/// @file
/// The profile of a model, from a text that no evaluation reads.
#pragma once

#include "harness/model/weights.hpp"
#include "harness/run/evaluation_set.hpp"

#include <buddy/profile.hpp>

#include <cstdint>
#include <string>

namespace harness {

struct calibration_options {
  std::string text = "builtin";  ///< a file, "builtin" (not the text that evaluation reads) or "none"
  std::uint32_t n_tokens = 8192;
  std::uint32_t seed = 1;
  std::uint32_t n_outputs = 256;  ///< tokens on which the outputs of all experts are compared, at least 1
};

/// Routes the text and problems of other seeds than evaluation's, with every expert resident, and counts.
/// @throws buddy::config_error when there is nothing to read
[[nodiscard]] buddy::profile calibrate(weights const& model, calibration_options const& options);

/// The counts of `base`, a profile of this model, with the experts' outputs compared on this text.
[[nodiscard]] buddy::profile with_outputs(weights const& model, calibration_options const& options,
                                          buddy::profile base);

}  // namespace harness
