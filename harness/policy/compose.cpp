// SPDX-License-Identifier: Apache-2.0
/// @file
/// Makes the tables first, then the components that read them, then the policy.
#include "harness/policy/compose.hpp"

#include "harness/policy/layer_demand.hpp"
#include "harness/policy/registry.hpp"

#include <buddy/cft.hpp>
#include <buddy/cliff.hpp>
#include <buddy/error.hpp>
#include <buddy/stand_in_losses.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace harness {

namespace {

std::optional<buddy::buddy_table> make_buddies(policy_settings const& s, buddy::profile const* profile) {
  if (s.selector == "coactivation") return buddy::build_cft(*profile, s.lists);
  if (s.selector == "router_similarity") return buddy::router_neighbours(*profile);
  if (s.selector == "output_similarity") return buddy::output_neighbours(*profile, s.other.outputs);
  return std::nullopt;
}

std::vector<buddy::q16> make_layer_tau(policy_settings const& s, buddy::profile const* profile) {
  std::vector<buddy::q16> tau;
  if (s.sensitivity != "entropy_gate" || !s.tau_percentile) return tau;
  if (*s.tau_percentile > 100) throw buddy::config_error("tau-percentile must be in [0, 100]");
  if (profile->entropy_percentiles.empty())
    throw buddy::config_error("the profile has no entropies for tau-percentile");
  for (std::uint16_t l = 0; l != profile->shape.n_layers; ++l)
    tau.push_back(profile->entropy_percentile(l, *s.tau_percentile));
  return tau;
}

/// Keys in the order of their worth: the most popular expert of each layer, then the second of each, ...
std::vector<buddy::expert_key> by_popularity(buddy::profile const& p) {
  std::vector<std::vector<std::uint16_t>> ranked(p.shape.n_layers);
  for (std::uint16_t l = 0; l != p.shape.n_layers; ++l) {
    for (std::uint16_t e = 0; e != p.shape.n_experts; ++e) ranked[l].push_back(e);
    std::stable_sort(ranked[l].begin(), ranked[l].end(), [&](std::uint16_t a, std::uint16_t b) {
      return p.activations[p.shape.index({l, a})] > p.activations[p.shape.index({l, b})];
    });
  }
  std::vector<buddy::expert_key> keys;
  for (std::uint16_t rank = 0; rank != p.shape.n_experts; ++rank) {
    for (std::uint16_t l = 0; l != p.shape.n_layers; ++l) keys.push_back({l, ranked[l][rank]});
  }
  return keys;
}

/// Of keys by popularity, as many of each layer as it has slots. @param slots  [n_layers], or empty: keeps all
void keep_ranks(std::vector<buddy::expert_key>& keys, std::vector<std::uint32_t> const& slots) {
  if (slots.empty()) return;
  std::vector<std::uint32_t> rank(slots.size());
  std::erase_if(keys, [&](buddy::expert_key k) { return rank[k.layer]++ >= slots[k.layer]; });
}

std::vector<buddy::expert_key> all_keys(buddy::model_shape const& shape) {
  std::vector<buddy::expert_key> keys;
  for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
    for (std::uint16_t e = 0; e != shape.n_experts; ++e) keys.push_back({l, e});
  }
  return keys;
}

eviction_options options_of(policy_settings const& s, buddy::model_shape const& shape, buddy::profile const* profile) {
  eviction_options options{.half_life_steps = s.half_life, .seed = s.seed, .shape = shape};
  if (s.pool == buddy::pool_layout::global) options.layers_of_pool = shape.n_layers;
  if (profile != nullptr)
    options.activations = {profile->activations.data(), static_cast<std::uint32_t>(profile->activations.size())};
  return options;
}

/// @throws buddy::config_error when the share of a copy is none
std::uint64_t low_precision_bytes(policy_settings const& s, buddy::model_shape const& shape) {
  double const ratio = s.other.low_precision_ratio;
  if (!(ratio >= 0.0 && ratio <= 1.0)) throw buddy::config_error("low-precision-ratio must be in [0, 1]");
  return static_cast<std::uint64_t>(ratio * static_cast<double>(shape.expert_bytes)) * shape.n_keys();
}

std::uint64_t stand_in_bytes(policy_settings const& s, buddy::model_shape const& shape, buddy::profile const& profile) {
  std::uint64_t bytes = 0;
  for (std::size_t l = 0; l != shape.n_layers; ++l) {
    auto const& set = buddy::stand_ins_named(profile, stand_ins_of_layer(s, l));
    bytes += charged_bytes(set, profile, shape) * shape.n_experts;
  }
  return bytes;
}

/// What is left beside that which is always resident, divided over the layers as the settings say.
buddy::cache_budget divided(policy_settings const& s, buddy::model_shape const& shape, buddy::profile const* profile,
                            buddy::cache_budget budget) {
  if (s.loss.free_stand_ins) return budget;
  if (has_stand_ins(s)) {
    budget = budget.less(stand_in_bytes(s, shape, *profile));
  } else if (needs_low_precision(s)) {
    budget = budget.less(low_precision_bytes(s, shape));
  }
  if (!s.loss.layer_slots.empty()) {
    budget.layer_slots = s.loss.layer_slots;
    return budget;
  }
  budget.layer_slots = layer_slots(s, shape, budget.bytes);
  return budget;
}

buddy::cache_budget make_budget(policy_settings const& s, buddy::model_shape const& shape,
                                buddy::profile const* profile) {
  return divided(s, shape, profile, buddy::cache_budget::from_ratio(shape, s.cache_ratio, s.pool));
}

buddy::slot_cache<any_eviction> make_cache(policy_settings const& s, buddy::model_shape const& shape,
                                           buddy::profile const* profile, buddy::cache_budget const& budget) {
  auto const make = find_named(evictions(), "eviction", s.eviction).make;
  buddy::slot_cache<any_eviction> cache{shape, budget, make, options_of(s, shape, profile)};
  std::vector<buddy::expert_key> keys;
  if (s.cache_ratio == 1.0) {
    keys = all_keys(shape);  // what fits at all times is there from the start
  } else if (!s.residents.empty()) {
    keys = cache.worthiest_that_fit({s.residents.data(), static_cast<std::uint32_t>(s.residents.size())});
  } else if (s.warm) {
    // Least popular first, so that a policy by recency gives them up first.
    keys = by_popularity(*profile);
    keep_ranks(keys, budget.layer_slots);
    keys.resize(std::min(keys.size(), cache.capacity()));
    std::reverse(keys.begin(), keys.end());
  }
  cache.warm({keys.data(), static_cast<std::uint32_t>(keys.size())});
  return cache;
}

/// The oracle has no name on the command line: no engine knows the future.
any_predictor make_predictor(component_source const& from) {
  if (from.settings.predictor != "oracle")
    return find_named(predictors(), "predictor", from.settings.predictor).make(from);
  if (from.settings.future == nullptr) throw buddy::config_error("predictor 'oracle' needs the trace that is replayed");
  return any_predictor{buddy::prediction::oracle{*from.settings.future, 1.0, from.settings.seed}};
}

harness_policy make_policy(policy_settings const& s, buddy::model_shape const& shape, buddy::profile const* profile,
                           buddy::cache_budget const& budget, std::optional<buddy::buddy_table> const& buddies,
                           std::vector<buddy::q16> const& layer_tau,
                           buddy::view<buddy::view<float const> const> routers, loss_tables const& losses) {
  component_source const from{s,
                              shape,
                              profile,
                              buddies ? buddies->ref() : buddy::buddy_table_ref{},
                              {layer_tau.data(), static_cast<std::uint32_t>(layer_tau.size())},
                              routers,
                              losses};
  return {shape,
          make_cache(s, shape, profile, budget),
          make_predictor(from),
          find_named(sensitivities(), "sensitivity", s.sensitivity).make(from),
          find_named(selectors(), "selector", s.selector).make(from),
          s.rules};
}

buddy::profile const* required(policy_settings const& s, buddy::model_shape const& shape,
                               buddy::profile const* profile) {
  if (profile == nullptr && needs_profile(s)) throw buddy::config_error("policy '" + s.name + "' needs a profile");
  if (profile != nullptr) {
    auto const difference = buddy::model_difference(*profile, profile->model, shape);
    if (!difference.empty()) throw buddy::config_error(difference);
  }
  return profile;
}

}  // namespace

std::uint64_t charged_bytes(buddy::stand_in_set const& set, buddy::profile const& profile,
                            buddy::model_shape const& shape) {
  double const share = static_cast<double>(set.record_bytes) / static_cast<double>(profile.shape.expert_bytes);
  return static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(shape.expert_bytes)));
}

composed_policy::composed_policy(policy_settings const& settings, buddy::model_shape const& shape,
                                 buddy::profile const* profile, buddy::view<buddy::view<float const> const> routers,
                                 loss_tables const& losses)
    : composed_policy(settings, shape, profile,
                      buddy::cache_budget::from_ratio(shape, settings.cache_ratio, settings.pool), routers, losses) {}

composed_policy::composed_policy(policy_settings const& settings, buddy::model_shape const& shape,
                                 buddy::profile const* profile, buddy::cache_budget const& budget,
                                 buddy::view<buddy::view<float const> const> routers, loss_tables const& losses)
    : buddies_(make_buddies(settings, required(settings, shape, profile))),
      layer_tau_(make_layer_tau(settings, profile)),
      policy_(make_policy(settings, shape, profile, divided(settings, shape, profile, budget), buddies_, layer_tau_,
                          routers, losses)) {}

std::string cache_warning(policy_settings const& s, buddy::model_shape const& shape, buddy::profile const* profile) {
  if (s.eviction == "auto") return {};  // it leaves what collapses
  auto const make = find_named(evictions(), "eviction", s.eviction).make;
  auto const options = options_of(s, shape, required(s, shape, profile));
  return buddy::cliff_warning(buddy::check_cliff<any_eviction>(shape, make_budget(s, shape, profile), make, options),
                              s.eviction);
}

}  // namespace harness
