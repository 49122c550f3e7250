// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a guard promises, what it asks the host to measure, and what it knows.
#pragma once

#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/loss_budget.hpp>
#include <buddy/loss_estimate.hpp>
#include <buddy/loss_factors.hpp>
#include <buddy/types.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// What is promised, and how closely it is watched.
struct guard_options {
  std::uint64_t target_ub = 0;          ///< micro-bits a token, as in `loss_budget_options`; at least 1
  std::uint32_t audits_per_1000 = 100;  ///< slots audited in 1000 tokens while the target is spent
  std::uint32_t tokens_per_10000 = 50;  ///< whole tokens measured in 10000 while the target is spent; 0: none
  std::uint64_t seed = 1;
  factor_beliefs beliefs{};             ///< in the expected losses of slots
  q16 link_q16 = q16_one;               ///< loss of a token over the expected loss of its slots, as calibration has it
  factor_beliefs::link token_belief{};  ///< in their sum being a token's loss
  std::uint32_t memory = 256;           ///< audits that the estimate of the realised loss is made of
  std::uint32_t margin_percent = 10;    ///< of the target that is kept back for what audits cannot see in time
  std::uint32_t payback_tokens = 2048;  ///< in which what was lost beyond the target is saved again
  std::uint32_t alarm_percent = 200;    ///< of the target: a loss that is surely above it is an alarm
  std::uint32_t exact_tokens = 64;      ///< tokens without stand-ins after an alarm
};

/// @throws config_error naming the member that is out of range
inline void validate(guard_options const& o) {
  if (o.target_ub == 0 || o.target_ub > max_target_ub)
    detail::throw_config_error("buddy::quality_guard: target_ub must be in [1, 2^32]");
  if (o.audits_per_1000 == 0 || o.audits_per_1000 > 100000)
    detail::throw_config_error("buddy::quality_guard: audits_per_1000 must be in [1, 100000]");
  if (o.tokens_per_10000 > 10000)
    detail::throw_config_error("buddy::quality_guard: tokens_per_10000 must be at most 10000");
  if (o.link_q16 < q16_one / 64 || o.link_q16 > q16_one * 64)
    detail::throw_config_error("buddy::quality_guard: link_q16 must be in [1/64, 64]");
  if (o.memory < 2 || o.memory > 4096 || o.beliefs.memory == 0 || o.token_belief.memory == 0)
    detail::throw_config_error("buddy::quality_guard: memory must be in [2, 4096], that of beliefs at least 1");
  if (o.margin_percent > 90 || o.alarm_percent < 100 || o.payback_tokens == 0 || o.exact_tokens == 0)
    detail::throw_config_error(
        "buddy::quality_guard: margin_percent must be at most 90, alarm_percent at least 100, payback_tokens and "
        "exact_tokens at least 1");
}

/// A replaced slot whose true loss the host is asked to measure.
struct audit {
  expert_key missing;           ///< whose output is to be computed
  std::uint32_t token{};        ///< of the batch
  std::uint32_t slot{};         ///< routed slot of the token; what stood in is in the plan
  std::uint32_t expected_ub{};  ///< as corrected when it was chosen
  std::uint32_t size_ub{};      ///< it was drawn in proportion to this
  q16 factor_q16{q16_one};      ///< the correction
  std::uint32_t times{1};       ///< how often it was drawn
};

/// What the guard knows.
struct guard_status {
  loss_estimate slots{};       ///< realised loss by audited slots, over the last `memory` audits
  loss_estimate tokens{};      ///< the same by measured tokens
  std::uint64_t allowed_ub{};  ///< what the budget is set to
  q16 link_q16{q16_one};       ///< loss of a token over the sum of its slots' corrected losses
  std::uint32_t drifts{};
  std::uint32_t alarms{};
  bool exact{};  ///< after an alarm: nothing is replaced for a while
};

}  // namespace buddy::inline v0
