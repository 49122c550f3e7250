// SPDX-License-Identifier: Apache-2.0
/// @file
/// From a profile and a promise to what a policy that decides by expected loss reads.
#pragma once

#include "harness/guard/exact_reference.hpp"
#include "harness/policy/registry.hpp"
#include "harness/policy/settings.hpp"

#include <buddy/expected_error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/profile.hpp>
#include <buddy/quality_guard.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace harness {

/// Owns the tables, and the guard that corrects them if there is to be one.
class loss_setup {
 public:
  /// @param link  loss of a token over the expected losses of its slots, as calibration has it
  /// @throws buddy::config_error when the profile has no such stand-ins
  loss_setup(policy_settings const& settings, buddy::profile const& profile, buddy::model_shape const& shape,
             exact_reference const& exact, double link, bool guarded);

  [[nodiscard]] loss_tables tables() const noexcept;
  /// Null without a guard.
  [[nodiscard]] buddy::quality_guard* guard() const noexcept { return guard_.get(); }
  /// [n_layers] bits of loss per unit of squared relative error
  [[nodiscard]] std::span<float const> loss_weights() const noexcept { return loss_weights_; }
  [[nodiscard]] std::uint64_t target_ub() const noexcept { return target_ub_; }

 private:
  buddy::expected_errors errors_;
  std::vector<float> loss_weights_;
  std::vector<std::int32_t> norm_log2_q16_;
  std::vector<buddy::q16> link_q16_;  // [n_layers]
  std::uint64_t target_ub_ = 0;
  std::unique_ptr<buddy::quality_guard> guard_;
};

}  // namespace harness
