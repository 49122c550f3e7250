// SPDX-License-Identifier: Apache-2.0
/// @file
/// The ways to run a stack whose experts do not all fit, by name.
#pragma once

#include "harness/policy/settings.hpp"

#include <buddy/routing_trace.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// What all modes share.
struct mode_options {
  double cache_ratio = 0.5;
  double share = 1.0;                        ///< of the misses that `substitute` and `substitute_refill` replace
  std::string selector = "random_resident";  ///< who stands in; `buddymoe` has its own
  std::string eviction = "lru";
  std::uint32_t max_tokens = 1;
  std::uint64_t seed = 1;
  buddy::routing_trace const* future = nullptr;  ///< for the oracle
};

struct layer_mode {
  std::string_view name;
  std::string_view help;
  void (*apply)(policy_settings&, mode_options const&);
  bool exact;         ///< the outputs are bit for bit those of `all_resident`
  bool needs_router;  ///< runs only with routing from a router
};

[[nodiscard]] std::span<layer_mode const> layer_modes();

/// @throws buddy::config_error when there is no such mode
[[nodiscard]] layer_mode const& find_mode(std::string_view name);

/// Whether no miss of such a policy waits for the host: everything is resident, or all misses are replaced or dropped
/// by rules that the device knows.
[[nodiscard]] bool decides_alone(policy_settings const& s) noexcept;

/// All but the first start with the most popular experts of the warm-up resident.
[[nodiscard]] policy_settings settings_of(layer_mode const& mode, mode_options const& options);

}  // namespace harness
