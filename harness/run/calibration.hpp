// SPDX-License-Identifier: Apache-2.0
/// @file
/// The profile of a model, from a text that no evaluation reads.
#pragma once

#include "harness/model/weights.hpp"
#include "harness/run/evaluation_set.hpp"

#include <buddy/profile.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace harness {

struct calibration_options {
  std::string text = "builtin";  ///< a file, "builtin" (not the text that evaluation reads), "self" or "none"
  std::uint32_t n_tokens = 8192;
  std::uint32_t seed = 1;
  std::uint32_t n_outputs = 256;  ///< tokens on which the outputs of all experts are compared, at least 1
};

/// What calibration reads: text and problems of other seeds than evaluation's. With the text "self", what the model
/// itself writes when it goes on from the first bytes of the built-in text's windows: for a model whose training text
/// is not at hand.
/// @throws buddy::config_error when there is nothing to read
[[nodiscard]] std::vector<sequence> calibration_texts(weights const& model, calibration_options const& options);

/// Routes the text and problems of other seeds than evaluation's, with every expert resident, and counts.
/// @throws buddy::config_error when there is nothing to read
[[nodiscard]] buddy::profile calibrate(weights const& model, calibration_options const& options);

/// The counts of `base`, a profile of this model, with the experts' outputs compared on this text.
[[nodiscard]] buddy::profile with_outputs(weights const& model, calibration_options const& options,
                                          buddy::profile base);

}  // namespace harness
