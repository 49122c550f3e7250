// SPDX-License-Identifier: Apache-2.0
/// @file
/// The table of an attachment's counts.
#pragma once

#include "buddy_llama.h"

#include <string>

namespace llama_adapter {

/// A line for each figure, ending with a line feed.
[[nodiscard]] std::string report_of(buddy_llama_counts const& counts);

}  // namespace llama_adapter
