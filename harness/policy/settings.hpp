// SPDX-License-Identifier: Apache-2.0
/// @file
/// All that the command line can say about a policy.
#pragma once

#include <buddy/cache_budget.hpp>
#include <buddy/cft.hpp>
#include <buddy/policy_config.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace harness {

struct policy_settings {
  std::string name;
  double cache_ratio = 0.5;  ///< share of each layer's experts that fit, in (0, 1]
  buddy::pool_layout pool = buddy::pool_layout::per_layer;
  bool warm = false;  ///< start with the profile's most popular experts resident, and its transitions known

  std::string eviction = "lru";
  std::string predictor = "none";
  std::string sensitivity = "never";
  std::string selector = "none";
  buddy::policy_config rules{};

  double tau = 0.95;                            ///< entropy_gate: forbids at or below it
  std::optional<std::uint32_t> tau_percentile;  ///< entropy_gate: this percentile of each layer instead of tau
  double temperature = 1.0;                     ///< entropy_gate
  std::optional<double> gamma;                  ///< entropy_gate, margin_gate (0.25 there unless set)
  double weight_threshold = 0.12;               ///< weight_gate
  buddy::cft_options lists{};                   ///< coactivation: how the buddy lists are made
  std::uint32_t search_limit = 16;              ///< coactivation: entries of a list that are looked at
  double eta = 0.0;                             ///< coactivation: weight of the live score
  double half_life = 32.0;                      ///< lfu_decayed, steps
  std::uint64_t seed = 1;                       ///< random, random_resident
};

/// Whether the policy cannot be made without a profile of the model.
[[nodiscard]] inline bool needs_profile(policy_settings const& s) {
  return s.warm || s.eviction == "static_top" || s.selector == "coactivation" ||
         (s.sensitivity == "entropy_gate" && s.tau_percentile);
}

}  // namespace harness
