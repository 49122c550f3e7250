// SPDX-License-Identifier: Apache-2.0
/// @file
/// Whether a replay predicts what the cache of a real engine held.
#pragma once

#include <buddy/routing_trace.hpp>

#include <cstdint>

namespace harness {

/// Routed slots of the decoded tokens.
struct residency_check {
  std::uint64_t slots{};
  std::uint64_t recorded_hits{};
  std::uint64_t replayed_hits{};
  std::uint64_t agreed{};  ///< slots of which both say the same
};

/// Replays the policy of such engines, one LRU by bytes for all layers, with the recorded sizes of records. Prompt
/// tokens of one layer pass as one batch, decoded ones one by one.
/// @param budget_bytes  of the recorded cache
/// @throws buddy::config_error when the trace has no residency flags, no record sizes, or the budget is too small
[[nodiscard]] residency_check check_residency(buddy::routing_trace const& trace, std::uint64_t budget_bytes);

}  // namespace harness
