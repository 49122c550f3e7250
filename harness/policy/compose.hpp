// SPDX-License-Identifier: Apache-2.0
/// @file
/// From settings to a policy that runs.
#pragma once

#include "harness/any_eviction.hpp"
#include "harness/any_predictor.hpp"
#include "harness/any_selector.hpp"
#include "harness/any_sensitivity.hpp"
#include "harness/policy/registry.hpp"
#include "harness/policy/settings.hpp"

#include <buddy/buddy_table.hpp>
#include <buddy/cache_budget.hpp>
#include <buddy/policy.hpp>
#include <buddy/profile.hpp>
#include <buddy/slot_cache.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace harness {

using harness_policy = buddy::policy<buddy::slot_cache<any_eviction>, any_predictor, any_sensitivity, any_selector>;

/// Bytes of one stand-in, brought to the scale of the records that are charged.
[[nodiscard]] std::uint64_t charged_bytes(buddy::stand_in_set const& set, buddy::profile const& profile,
                                          buddy::model_shape const& shape);

/// A policy and the tables that it reads.
class composed_policy {
 public:
  /// @param shape    with the record size that is charged
  /// @param profile  of this model; may be null when `needs_profile(settings)` is false; not kept
  /// @param losses   must outlive this; empty when the selector does not ask for them
  /// @param routers  [n_layers] matrices that must outlive this; empty when no component asks for them
  /// @throws buddy::config_error when a name is unknown, a value is out of range, or the profile is missing
  composed_policy(policy_settings const& settings, buddy::model_shape const& shape, buddy::profile const* profile,
                  buddy::view<buddy::view<float const> const> routers = {}, loss_tables const& losses = {});

  /// The same with a budget of its own instead of the settings' cache ratio and pool.
  composed_policy(policy_settings const& settings, buddy::model_shape const& shape, buddy::profile const* profile,
                  buddy::cache_budget const& budget, buddy::view<buddy::view<float const> const> routers = {},
                  loss_tables const& losses = {});

  [[nodiscard]] harness_policy& policy() noexcept { return policy_; }
  [[nodiscard]] harness_policy const& policy() const noexcept { return policy_; }

 private:
  std::optional<buddy::buddy_table> buddies_;
  std::vector<buddy::q16> layer_tau_;  // [n_layers], or empty
  harness_policy policy_;
};

/// What the user should know before such a cache runs; empty when there is nothing.
/// @throws buddy::config_error as `composed_policy` does
[[nodiscard]] std::string cache_warning(policy_settings const& settings, buddy::model_shape const& shape,
                                        buddy::profile const* profile);

}  // namespace harness
