// SPDX-License-Identifier: Apache-2.0
/// @file
/// From figures to a profile that `--hardware` takes.
#pragma once

#include "harness/calibrate/figure.hpp"
#include "harness/sim/hardware.hpp"

#include <map>
#include <ostream>
#include <span>
#include <string>

namespace harness {

/// A machine, and where each of its fields comes from: "measured", or "base: NAME".
struct calibrated_hardware {
  hardware machine;
  std::map<std::string, std::string> source;
};

/// What the figures give; the rest from `base`.
/// @throws buddy::config_error when a figure names a field that no profile has, or its value cannot be one
[[nodiscard]] calibrated_hardware profile_from(hardware const& base, std::span<figure const> figures,
                                               std::string const& name);

/// Every figure, then every field of the profile.
void print_calibration(std::ostream& out, std::span<figure const> figures, calibrated_hardware const& profile);

/// One JSON object: figures with their spread, as a record beside the profile.
[[nodiscard]] std::string calibration_json(std::span<figure const> figures, calibrated_hardware const& profile);

}  // namespace harness
