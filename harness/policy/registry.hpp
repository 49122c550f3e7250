// SPDX-License-Identifier: Apache-2.0
/// @file
/// The components by name: one table for each role, used for flags, messages and help.
#pragma once

#include "harness/any_eviction.hpp"
#include "harness/any_predictor.hpp"
#include "harness/any_selector.hpp"
#include "harness/any_sensitivity.hpp"
#include "harness/policy/settings.hpp"

#include <buddy/buddy_table.hpp>
#include <buddy/error.hpp>
#include <buddy/expected_error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/profile.hpp>

#include <span>
#include <string>
#include <string_view>

namespace harness {

/// What stand-ins are expected to cost, and what corrects it; views that outlive the policy.
struct loss_tables {
  buddy::expected_error_ref errors{};
  buddy::loss_corrections corrections{};
};

/// What a component may be made from.
struct component_source {
  policy_settings const& settings;
  buddy::model_shape const& shape;
  buddy::profile const* profile;                          ///< null when none of the chosen components needs one
  buddy::buddy_table_ref buddies;                         ///< empty unless the selector has lists
  buddy::view<buddy::q16 const> layer_tau;                ///< [n_layers], or empty
  buddy::view<buddy::view<float const> const> routers{};  ///< [n_layers] of [n_experts, hidden_size], or empty
  loss_tables losses{};                                   ///< empty unless the selector knows what stand-ins cost
};

/// A line of a table.
template <class Make>
struct named {
  std::string_view name;
  std::string_view help;
  Make make;
};

using predictor_maker = any_predictor (*)(component_source const&);
using sensitivity_maker = any_sensitivity (*)(component_source const&);
using selector_maker = any_selector (*)(component_source const&);

[[nodiscard]] std::span<named<any_eviction::maker> const> evictions();
[[nodiscard]] std::span<named<predictor_maker> const> predictors();
[[nodiscard]] std::span<named<sensitivity_maker> const> sensitivities();
[[nodiscard]] std::span<named<selector_maker> const> selectors();

/// "a, b, c"
template <class Make>
[[nodiscard]] std::string names_of(std::span<named<Make> const> table) {
  std::string all;
  for (auto const& line : table) all += (all.empty() ? "" : ", ") + std::string{line.name};
  return all;
}

/// @throws buddy::config_error naming the role and all that it knows
template <class Make>
[[nodiscard]] named<Make> const& find_named(std::span<named<Make> const> table, std::string_view role,
                                            std::string_view name) {
  for (auto const& line : table) {
    if (line.name == name) return line;
  }
  throw buddy::config_error("unknown " + std::string{role} + " '" + std::string{name} + "': one of " + names_of(table));
}

}  // namespace harness
