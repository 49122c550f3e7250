// SPDX-License-Identifier: Apache-2.0
/// @file
/// Recorded routing through a composed policy and the modelled clock.
#pragma once

#include "harness/policy/settings.hpp"
#include "harness/replay/bounds.hpp"
#include "harness/run/run_result.hpp"
#include "harness/sim/charged_shape.hpp"
#include "harness/sim/hardware.hpp"
#include "harness/sim/timeline.hpp"

#include <buddy/cache_budget.hpp>
#include <buddy/counters.hpp>
#include <buddy/profile.hpp>
#include <buddy/routing_trace.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace harness {

/// One trace with all that its rows share.
struct replay_input {
  std::string file;                         ///< name without folder
  std::vector<buddy::routing_trace> parts;  ///< each meets an empty cache: the whole trace, or its sequences
  buddy::model_shape shape;                 ///< with the record size that is charged
  charged_shape charged;
  hardware machine;
  buddy::profile hindsight;  ///< counted on these very tokens; for policies that need a profile

  [[nodiscard]] buddy::routing_trace const& head() const noexcept { return parts.front(); }
};

/// Decode of one sequence.
struct sequence_counts {
  std::uint64_t tokens{};
  std::uint64_t lookups{};
  std::uint64_t hits{};
};

struct replay_result {
  run_result run;  ///< decode
  std::string trace;
  std::uint64_t slots{};
  buddy::layer_counters prefill;
  clock_totals prefill_time;
  std::vector<sequence_counts> sequences;
  replay_bounds bounds;  ///< at the same budget
};

/// @throws buddy::config_error in one line when the policy needs what a trace does not have
void require_replayable(policy_settings const& settings, buddy::routing_trace const& trace);

/// Without the bounds, which rows of one budget share.
/// @param drawn  is told what takes which time; may be null
/// @throws buddy::config_error when the policy cannot be made
[[nodiscard]] replay_result replay(replay_input const& input, policy_settings const& settings,
                                   buddy::cache_budget const& budget, timeline* drawn = nullptr);

/// The popularity of these very tokens, and what else a profile counts.
[[nodiscard]] buddy::profile hindsight_of(std::vector<buddy::routing_trace> const& parts,
                                          buddy::model_shape const& shape);

}  // namespace harness
