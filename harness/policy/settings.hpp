// SPDX-License-Identifier: Apache-2.0
/// @file
/// All that the command line can say about a policy.
#pragma once

#include "harness/policy/loss_promise.hpp"

#include <buddy/cache_budget.hpp>
#include <buddy/cft.hpp>
#include <buddy/neighbours.hpp>
#include <buddy/policy_config.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/types.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

struct layer_demand;

/// How the slots of per-layer pools are divided.
enum class slot_split : std::uint8_t { uniform, marginal_gain, adapmoe };

[[nodiscard]] constexpr std::string_view to_string(slot_split s) noexcept {
  return s == slot_split::uniform ? "uniform" : s == slot_split::marginal_gain ? "marginal-gain" : "adapmoe";
}

/// What the selectors and gates of other engines are made with; see the headers of those named.
struct rule_settings {
  std::uint32_t n_kept = 1;                                    ///< keep_top, ser_gate
  double cold_factor = 0.75;                                   ///< drop_cold: F
  double ser_ratio = 0.25;                                     ///< ser_gate: t
  double error_limit = 0.005;                                  ///< adapmoe_gate: T, every layer weighs 1
  double score_threshold = 0.03;                               ///< score_gate: tau
  buddy::output_kind outputs = buddy::output_kind::frobenius;  ///< output_similarity
  double similarity_threshold = 0.0;                           ///< output_similarity, router_similarity
  double lambda = 0.5;                                         ///< cache_prior
  std::uint32_t window = 12;                                   ///< rank_window: M
  double substitute_scale = 1.0;                               ///< rank_window: alpha
  double window_mass = 1.0;                                    ///< rank_window: P
  double full_mass = 0.6;                                      ///< precision_by_mass: T1
  double low_mass = 0.9;                                       ///< precision_by_mass: T2
  double replaceable_share = 1.0;                              ///< share_gate
  double low_precision_ratio = 0.25;                           ///< precision_by_mass: bytes of a copy over the record's
};

/// Decisions by expected loss; for selector expected_error.
struct loss_settings {
  std::string stand_ins = "zero";            ///< of the profile: what is resident for every expert
  std::vector<std::string> layer_stand_ins;  ///< [n_layers] of each layer instead, or empty
  std::vector<std::uint32_t> layer_slots;    ///< [n_layers] slots beside these, or empty
  bool free_stand_ins = false;               ///< their bytes do not come off the slots: an experiment
  bool buddies = false;                      ///< residents may stand in too, where the profile has measured pairs
  std::optional<loss_promise> promise;       ///< what may be lost; nothing: everything
  bool guard = true;                         ///< audits keep the promise; else the profile's expectation alone
  std::optional<double> link;                ///< loss of a token over its slots'; nothing: from calibration text
  std::uint32_t slot_audits = 30;            ///< in 1000 tokens
  std::uint32_t token_audits = 10;           ///< in 10000 tokens
};

struct policy_settings {
  std::string name;
  double cache_ratio = 0.5;  ///< share of each layer's experts that fit, in (0, 1]
  buddy::pool_layout pool = buddy::pool_layout::per_layer;
  slot_split split = slot_split::uniform;
  std::shared_ptr<layer_demand const> demand;  ///< what a split other than uniform is made from
  bool warm = false;  ///< start with the profile's most popular experts resident, and its transitions known
  std::vector<buddy::expert_key> residents;  ///< start with these instead, the least worthy first, as far as they fit

  std::string eviction = "lru";
  std::string predictor = "none";
  std::string sensitivity = "never";
  std::string selector = "none";
  buddy::policy_config rules{};

  double tau = 0.95;                             ///< entropy_gate: forbids at or below it
  std::optional<std::uint32_t> tau_percentile;   ///< entropy_gate: this percentile of each layer instead of tau
  double temperature = 1.0;                      ///< entropy_gate
  std::optional<double> gamma;                   ///< entropy_gate, margin_gate (0.25 there unless set)
  double weight_threshold = 0.12;                ///< weight_gate
  buddy::cft_options lists{};                    ///< coactivation: how the buddy lists are made
  std::uint32_t search_limit = 16;               ///< selectors with lists: entries of one that are looked at
  double eta = 0.0;                              ///< coactivation: weight of the live score
  bool learnt = false;                           ///< markov: starts from the profile's transitions, as with `warm`
  std::optional<double> ema_alpha;               ///< frequency: moving average; counts unless set
  buddy::routing_trace const* future = nullptr;  ///< oracle: the trace that is replayed; outlives the policy
  std::uint16_t gate_ahead = 1;                  ///< next_gate: layers
  std::uint32_t n_maps = 64;                     ///< activation_map: texts that are kept
  std::uint16_t route_ahead = 0;                 ///< layers before which next_gate decides the routing; 0: the router
  double half_life = 32.0;                       ///< lfu_decayed, steps
  std::uint64_t seed = 1;                        ///< random, random_resident
  loss_settings loss{};                          ///< expected_error
  rule_settings other{};                         ///< of the selectors and gates of other engines
};

/// What is resident at the start, in a word.
[[nodiscard]] inline char const* start_of(policy_settings const& s) {
  if (!s.residents.empty()) return "from saved residents";
  return s.warm ? "warm" : "cold";
}

/// Whether the selector reads lists that are made from a profile.
[[nodiscard]] inline bool has_lists(policy_settings const& s) {
  return s.selector == "coactivation" || s.selector == "router_similarity" || s.selector == "output_similarity";
}

/// Whether some misses are computed from a low-precision copy.
[[nodiscard]] inline bool needs_low_precision(policy_settings const& s) { return s.selector == "precision_by_mass"; }

/// Whether decisions read what stand-ins are expected to lose.
[[nodiscard]] inline bool needs_losses(policy_settings const& s) { return s.selector == "expected_error"; }

/// Which of the profile's stand-ins a layer has.
[[nodiscard]] inline std::string const& stand_ins_of_layer(policy_settings const& s, std::size_t layer) {
  return s.loss.layer_stand_ins.empty() ? s.loss.stand_ins : s.loss.layer_stand_ins[layer];
}

/// Whether something of the profile is resident beside the cache, to be computed in missing experts' places.
[[nodiscard]] inline bool has_stand_ins(policy_settings const& s) {
  return (needs_losses(s) || needs_low_precision(s)) && (s.loss.stand_ins != "zero" || !s.loss.layer_stand_ins.empty());
}

/// Whether the policy cannot be made without a profile of the model.
[[nodiscard]] inline bool needs_profile(policy_settings const& s) {
  return s.warm || (s.learnt && s.predictor == "markov") || s.eviction == "static_top" || has_lists(s) ||
         needs_losses(s) || has_stand_ins(s) || (s.sensitivity == "entropy_gate" && s.tau_percentile);
}

}  // namespace harness
