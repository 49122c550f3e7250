// SPDX-License-Identifier: Apache-2.0
/// @file
/// The routing log of BigMoeOnEdge as a trace.
#pragma once

#include <buddy/routing_trace.hpp>

#include <filesystem>
#include <string>
#include <string_view>

namespace harness {

/// Lines that begin with `#` name the model (`model=`, `n_layer=`, `n_expert=`, `n_expert_used=`) and the bytes of each
/// layer's records (`layer=`, `expert_bytes=`); the others are
///
///     turn,phase,step,layer,slot,expert,weight,residency,expert_bytes
///
/// one routed slot each: phase 0 prefill, 1 decode; residency 1 where the engine's cache held the expert. Steps rise,
/// or are those of another turn; a step's lines stand together. Slots are sorted by falling weight.
/// @throws buddy::config_error naming file, line and rule when anything is not as it must be
[[nodiscard]] buddy::routing_trace read_route_csv(std::filesystem::path const& file);

/// The same for text in memory. @param name  stands for the file in messages
[[nodiscard]] buddy::routing_trace parse_route_csv(std::string_view text, std::string const& name);

}  // namespace harness
