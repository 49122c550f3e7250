// SPDX-License-Identifier: Apache-2.0
/// @file
/// A timeline in the format that chrome://tracing and ui.perfetto.dev read.
#pragma once

#include "harness/sim/timeline.hpp"

#include <string>

namespace harness {

/// What the file says about where it comes from.
struct timeline_labels {
  std::string clock;  ///< modelled, or measured
  std::string hardware;
  std::string shape;
  std::string policy;
};

/// One JSON object in the Trace Event Format: complete events ("ph": "X") on three tracks, the layers with their parts
/// and stalls, the link, the CPU's lane; times in microseconds.
[[nodiscard]] std::string timeline_json(timeline const& drawn, timeline_labels const& labels);

}  // namespace harness
