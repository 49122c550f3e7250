// SPDX-License-Identifier: Apache-2.0
/// @file
/// Each mode as settings of the one policy.
#include "harness/layers/layer_mode.hpp"

#include "harness/policy/presets.hpp"

#include <buddy/error.hpp>

#include <array>

namespace harness {

namespace {

void prefetch(policy_settings& s, char const* predictor) {
  s.predictor = predictor;
  s.rules.prefetch = buddy::prefetch_mode::governed;
  s.rules.prefetch_width = 2;
}

/// Misses that the lot lets go are replaced, the others fetched; only what was fetched enters the cache.
void substitute(policy_settings& s, mode_options const& o) {
  s.sensitivity = "share_gate";
  s.other.replaceable_share = o.share;
  s.selector = o.selector;
  s.rules.refill_after = 0;
}

void buddymoe(policy_settings& s, mode_options const& o) {
  double const ratio = s.cache_ratio;
  s = preset_settings("buddymoe");
  s.cache_ratio = ratio;
  s.eviction = o.eviction;
}

constexpr std::array<layer_mode, 12> table{{
    {"all_resident", "every expert in fast memory: the upper bound",
     [](policy_settings& s, mode_options const&) { s.cache_ratio = 1.0; }, true, false},
    {"on_demand", "every miss is fetched, the layer waits", [](policy_settings&, mode_options const&) {}, true, false},
    {"prefetch_markov", "on_demand, and copies ahead what usually follows, while that proves useful",
     [](policy_settings& s, mode_options const&) { prefetch(s, "markov"); }, true, false},
    {"prefetch_next_gate", "... what the next layer's router likes now",
     [](policy_settings& s, mode_options const&) { prefetch(s, "next_gate"); }, true, true},
    {"prefetch_oracle", "... what the next layer will ask for (bound; of a batch, its first token)",
     [](policy_settings& s, mode_options const& o) {
       prefetch(s, "oracle");
       s.future = o.future;
       s.rules.prefetch = buddy::prefetch_mode::always;
     },
     true, false},
    {"host_lane", "the CPU computes every miss; refills in the background",
     [](policy_settings& s, mode_options const&) { s.rules.on_refused = buddy::resolution::host; }, false, false},
    {"q_star", "misses divided between link and CPU so that both end together; refills in the background",
     [](policy_settings& s, mode_options const&) { s.rules.lanes.rule = buddy::lane_rule::q_star; }, false, false},
    {"drop", "every miss is left out",
     [](policy_settings& s, mode_options const&) {
       s.sensitivity = "always";
       s.selector = "zero_fill";
       s.rules.refill_after = 0;
     },
     false, false},
    {"substitute", "a share of the misses is served by residents, the rest fetched", substitute, false, false},
    {"substitute_refill", "the same, and what was replaced is copied in the background",
     [](policy_settings& s, mode_options const& o) {
       substitute(s, o);
       s.rules.refill_after = 1;
     },
     false, false},
    {"substitute_gated", "misses of gate share below .12 are served by residents, the rest fetched",
     [](policy_settings& s, mode_options const& o) {
       substitute(s, o);
       s.sensitivity = "weight_gate";
     },
     false, false},
    {"buddymoe", "BuddyMoE as published: tau .95, 16 buddies, at most 3 a token", buddymoe, false, false},
}};

}  // namespace

std::span<layer_mode const> layer_modes() { return table; }

layer_mode const& find_mode(std::string_view name) {
  std::string known;
  for (layer_mode const& m : table) {
    if (m.name == name) return m;
    known += (known.empty() ? "" : ", ") + std::string{m.name};
  }
  throw buddy::config_error("unknown mode '" + std::string{name} + "': one of " + known);
}

bool decides_alone(policy_settings const& s) noexcept {
  if (s.cache_ratio == 1.0) return true;
  bool const lets_all_go =
      s.sensitivity == "always" || (s.sensitivity == "share_gate" && s.other.replaceable_share == 1.0);
  return lets_all_go && s.predictor == "none" && (s.selector == "random_resident" || s.selector == "zero_fill");
}

policy_settings settings_of(layer_mode const& mode, mode_options const& options) {
  policy_settings s;
  s.cache_ratio = options.cache_ratio;
  s.eviction = options.eviction;
  mode.apply(s, options);
  s.name = mode.name;
  s.seed = options.seed;
  s.rules.max_tokens = options.max_tokens;
  s.warm = s.cache_ratio != 1.0;
  return s;
}

}  // namespace harness
