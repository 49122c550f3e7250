// SPDX-License-Identifier: Apache-2.0
/// @file
/// How fast a GPU, its link and the way to it are.
#pragma once

#include "harness/calibrate/figure.hpp"

#include <string>
#include <vector>

namespace harness {

/// Why nothing can be measured on a GPU here; empty when it can.
[[nodiscard]] std::string why_no_device_probe();

/// Link by size, alone, queued and in batches; reading and copying in device memory; launches, synchronisation, an echo
/// through mapped memory; the link while the device reads.
/// @pre why_no_device_probe() is empty
[[nodiscard]] std::vector<figure> probe_device();

}  // namespace harness
