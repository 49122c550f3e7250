// SPDX-License-Identifier: Apache-2.0
/// @file
/// Fits stand-ins to a model and measures what each is expected to cost.
#pragma once

#include "harness/model/weights.hpp"
#include "harness/tasks/sequences.hpp"

#include <buddy/profile.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace harness {

struct stand_in_options {
  std::vector<std::string> names;     ///< `stand_in_spec` names; `zero` is measured whether it is named or not
  bool buddies = false;               ///< measure every pair of experts too
  std::uint32_t fit_tokens = 4096;    ///< most tokens of an expert that it is fitted to
  std::uint32_t buddy_tokens = 2048;  ///< tokens on which every expert of a layer runs; the cost of the pairs
  std::uint32_t loss_tokens = 2048;   ///< tokens on which a layer's error is turned into bits of loss
  std::uint32_t n_threads = 0;        ///< 0: one for each core, 8 at most
};

/// Told of each part that is done and the seconds it took.
using calibration_progress = std::function<void(std::string const& what, double seconds)>;

/// Fills `output_samples`, `stand_ins` and, where they are wanted, the tables of buddies.
///
/// Seven of eight sequences are for the fits, the others for the errors, so that no error is that of the fitted tokens.
/// The loss of a layer's error is a finite difference: the exact model with a quarter of the layer's slots replaced,
/// its KL divergence from the exact model in bits over the errors that were put in.
/// @param set  text and problems that no evaluation reads; at least 8 sequences
/// @throws buddy::config_error when a name is none, is there twice, or the set is too small
void add_stand_ins(weights const& model, std::vector<sequence> const& set, stand_in_options const& options,
                   buddy::profile& p, calibration_progress const& progress);

}  // namespace harness
