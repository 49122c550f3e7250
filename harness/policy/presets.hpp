// SPDX-License-Identifier: Apache-2.0
/// @file
/// Named policies: the rows of every table.
#pragma once

#include "harness/policy/settings.hpp"

#include <span>
#include <string>
#include <string_view>

namespace harness {

struct preset {
  std::string_view name;
  std::string_view help;
  void (*apply)(policy_settings&);  ///< changes what differs from plain fetching
};

[[nodiscard]] std::span<preset const> presets();

/// @throws buddy::config_error naming all presets when there is no such one
[[nodiscard]] policy_settings preset_settings(std::string_view name);

}  // namespace harness
