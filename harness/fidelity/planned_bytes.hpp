// SPDX-License-Identifier: Apache-2.0
/// @file
/// Plans of bytes for the harness: the stand-ins a profile has, at the sizes that are charged.
#pragma once

#include "harness/model/weights.hpp"
#include "harness/policy/settings.hpp"

#include <buddy/model_shape.hpp>
#include <buddy/profile.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/stand_in_planner.hpp>

#include <cstdint>
#include <string>

namespace harness {

/// The name of stand-ins that asks for a plan.
inline constexpr char planned_stand_ins[] = "planned";

/// Whether a plan chooses the stand-ins and the slots.
[[nodiscard]] inline bool is_planned(policy_settings const& s) { return s.loss.stand_ins == planned_stand_ins; }

/// Routing of the exact model on calibration text, for a plan that has no trace.
[[nodiscard]] buddy::routing_trace calibration_trace(weights const& model, std::uint32_t n_tokens, std::uint32_t seed);

/// Divides the bytes of a cache ratio between slots and the profile's stand-ins.
/// @param shape    with the record size that is charged; stand-ins are charged in proportion
/// @param fetched  share of routed slots that may be fetched
/// @throws buddy::config_error when the profile has no stand-ins, or the trace is of another model
[[nodiscard]] buddy::stand_in_plan plan_bytes(buddy::profile const& profile, buddy::model_shape const& shape,
                                              buddy::routing_trace const& trace, double cache_ratio, double fetched);

/// The settings with every layer's stand-ins and slots as planned.
[[nodiscard]] policy_settings with_plan(policy_settings settings, buddy::stand_in_plan const& plan,
                                        buddy::profile const& profile);

}  // namespace harness
