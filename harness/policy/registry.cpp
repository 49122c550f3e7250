// SPDX-License-Identifier: Apache-2.0
/// @file
/// The four tables.
#include "harness/policy/registry.hpp"

#include <array>
#include <type_traits>

namespace harness {

namespace {

any_predictor make_markov(component_source const& from) {
  buddy::prediction::markov m{from.shape, 1};
  if ((from.settings.warm || from.settings.learnt) && from.profile != nullptr) {
    auto const& counts = from.profile->transitions;
    m.seed({counts.data(), static_cast<std::uint32_t>(counts.size())});
  }
  return any_predictor{std::move(m)};
}

any_predictor make_frequency(component_source const& from) {
  using buddy::prediction::frequency;
  auto const& alpha = from.settings.ema_alpha;
  return any_predictor{alpha ? frequency{from.shape, *alpha} : frequency{from.shape}};
}

any_predictor make_next_gate(component_source const& from) {
  return any_predictor{buddy::prediction::next_gate{from.shape, from.routers, from.settings.gate_ahead}};
}

any_predictor make_activation_map(component_source const& from) {
  return any_predictor{buddy::prediction::activation_map{from.shape, from.settings.n_maps}};
}

template <class Predictor>
any_predictor make_plain_predictor(component_source const& from) {
  return any_predictor{Predictor{from.shape}};
}

/// The estimator or selector in which one member, made so, speaks.
template <class Any, class Component>
Any speaking(typename Any::model chosen, Component Any::* member, std::type_identity_t<Component> const& component) {
  Any any;
  any.chosen = chosen;
  any.*member = component;
  return any;
}

any_sensitivity make_entropy_gate(component_source const& from) {
  using buddy::sensitivity::entropy_gate;
  policy_settings const& s = from.settings;
  entropy_gate gate = from.layer_tau.empty() ? entropy_gate::fixed(s.tau) : entropy_gate::per_layer(from.layer_tau);
  if (s.temperature != 1.0) gate = gate.with_temperature(s.temperature);
  if (s.gamma) gate = gate.with_margin(*s.gamma);
  return speaking<any_sensitivity>(any_sensitivity::model::entropy_gate, &any_sensitivity::entropy_gate, gate);
}

any_sensitivity make_margin_gate(component_source const& from) {
  any_sensitivity any;
  any.chosen = any_sensitivity::model::margin_gate;
  if (from.settings.gamma) any.margin_gate = buddy::sensitivity::margin_gate::fixed(*from.settings.gamma);
  return any;
}

any_sensitivity make_weight_gate(component_source const& from) {
  return speaking<any_sensitivity>(any_sensitivity::model::weight_gate, &any_sensitivity::weight_gate,
                                   buddy::sensitivity::weight_gate::fixed(from.settings.weight_threshold));
}

any_sensitivity make_keep_top(component_source const& from) {
  any_sensitivity any;
  any.chosen = any_sensitivity::model::keep_top;
  any.keep_top.n_kept = from.settings.other.n_kept;
  return any;
}

any_sensitivity make_drop_cold(component_source const& from) {
  return speaking<any_sensitivity>(any_sensitivity::model::drop_cold, &any_sensitivity::drop_cold,
                                   buddy::sensitivity::drop_cold::fixed(from.settings.other.cold_factor));
}

any_sensitivity make_ser_gate(component_source const& from) {
  auto const& s = from.settings.other;
  return speaking<any_sensitivity>(any_sensitivity::model::ser_gate, &any_sensitivity::ser_gate,
                                   buddy::sensitivity::ser_gate::fixed(s.n_kept, s.ser_ratio));
}

any_sensitivity make_adapmoe_gate(component_source const& from) {
  return speaking<any_sensitivity>(any_sensitivity::model::adapmoe_gate, &any_sensitivity::adapmoe_gate,
                                   buddy::sensitivity::adapmoe_gate::fixed(from.settings.other.error_limit));
}

any_sensitivity make_score_gate(component_source const& from) {
  return speaking<any_sensitivity>(any_sensitivity::model::score_gate, &any_sensitivity::score_gate,
                                   buddy::sensitivity::score_gate::fixed(from.settings.other.score_threshold));
}

any_sensitivity make_share_gate(component_source const& from) {
  return speaking<any_sensitivity>(any_sensitivity::model::share_gate, &any_sensitivity::share_gate,
                                   buddy::sensitivity::share_gate::fixed(from.settings.other.replaceable_share));
}

template <any_sensitivity::model Chosen>
any_sensitivity make_plain_sensitivity(component_source const&) {
  any_sensitivity any;
  any.chosen = Chosen;
  return any;
}

template <any_selector::model Chosen>
any_selector make_plain_selector(component_source const&) {
  any_selector any;
  any.chosen = Chosen;
  return any;
}

any_selector make_random_resident(component_source const& from) {
  any_selector any;
  any.chosen = any_selector::model::random_resident;
  any.random_resident.seed = from.settings.seed;
  return any;
}

any_selector make_coactivation(component_source const& from) {
  double const eta = from.settings.eta;
  if (!(eta >= 0.0 && eta <= 16384.0)) throw buddy::config_error("eta must be in [0, 16384]");
  any_selector any;
  any.chosen = any_selector::model::coactivation;
  any.coactivation.table = from.buddies;
  any.coactivation.search_limit = from.settings.search_limit;
  any.coactivation.eta_q16 = buddy::to_q16(eta);
  return any;
}

buddy::q16 similarity_threshold(policy_settings const& s) {
  double const threshold = s.other.similarity_threshold;
  if (!(threshold >= 0.0 && threshold <= 1.0)) throw buddy::config_error("similarity-threshold must be in [0, 1]");
  return buddy::to_q16(threshold);
}

any_selector make_router_similarity(component_source const& from) {
  return speaking<any_selector>(any_selector::model::router_similarity, &any_selector::router_similarity,
                                {from.buddies, from.settings.search_limit, similarity_threshold(from.settings)});
}

any_selector make_output_similarity(component_source const& from) {
  return speaking<any_selector>(any_selector::model::output_similarity, &any_selector::output_similarity,
                                {from.buddies, from.settings.search_limit, similarity_threshold(from.settings)});
}

any_selector make_cache_prior(component_source const& from) {
  return speaking<any_selector>(any_selector::model::cache_prior, &any_selector::cache_prior,
                                buddy::selection::cache_prior::fixed(from.settings.other.lambda));
}

any_selector make_rank_window(component_source const& from) {
  auto const& s = from.settings.other;
  return speaking<any_selector>(any_selector::model::rank_window, &any_selector::rank_window,
                                buddy::selection::rank_window::fixed(s.window, s.substitute_scale, s.window_mass));
}

any_selector make_precision_by_mass(component_source const& from) {
  auto const& s = from.settings.other;
  return speaking<any_selector>(any_selector::model::precision_by_mass, &any_selector::precision_by_mass,
                                buddy::selection::precision_by_mass::fixed(s.full_mass, s.low_mass));
}

any_selector make_expected_error(component_source const& from) {
  if (from.losses.errors.n_experts == 0)
    throw buddy::config_error("selector expected_error needs expected losses, which a trace does not have");
  any_selector any;
  any.chosen = any_selector::model::expected_error;
  any.expected_error = {from.losses.errors, from.losses.corrections};
  return any;
}

using model = any_eviction::model;
namespace evict = buddy::eviction;

template <class Eviction>
model make_plain_eviction(std::size_t capacity, eviction_options const&) {
  return Eviction{capacity};
}

model make_lfu_persistent(std::size_t capacity, eviction_options const& o) { return lfu_persistent{capacity, o.shape}; }

model make_lfu_decayed(std::size_t capacity, eviction_options const& o) {
  return evict::lfu_decayed{capacity, o.shape, o.half_life_steps};
}

model make_static_top(std::size_t capacity, eviction_options const& o) {
  return evict::static_top{capacity, o.shape, o.activations};
}

model make_random(std::size_t capacity, eviction_options const& o) { return evict::random{capacity, o.seed}; }

model make_auto(std::size_t capacity, eviction_options const& o) {
  return auto_eviction{capacity, o.shape, o.layers_of_pool, o.half_life_steps};
}

/// All but belady: an engine does not know the future.
constexpr std::array<named<any_eviction::maker>, 18> eviction_table{{
    {"lru", "least recently used", make_plain_eviction<evict::lru>},
    {"lru_token", "LRU in whole tokens that looks ahead within one", make_plain_eviction<evict::lru_token>},
    {"lru_ds", "LRU that spares the layers about to run; for a global pool", make_plain_eviction<evict::lru_ds>},
    {"fifo", "first in, first out", make_plain_eviction<evict::fifo>},
    {"lfu", "least frequently used since it entered", make_plain_eviction<evict::lfu>},
    {"lfu_persistent", "least frequently used since the start", make_lfu_persistent},
    {"lfu_decayed", "least frequently used, forgotten with --half-life", make_lfu_decayed},
    {"lfru", "frequency divided by age", make_plain_eviction<evict::lfru>},
    {"slru", "LRU that protects what was asked for twice", make_plain_eviction<evict::slru>},
    {"arc", "recency and frequency in adapted shares", make_plain_eviction<evict::arc>},
    {"clock", "FIFO with a second chance for what was asked for again", make_plain_eviction<evict::clock>},
    {"sieve", "FIFO that passes over what was asked for again", make_plain_eviction<evict::sieve>},
    {"s3_fifo", "a small FIFO before a large one", make_plain_eviction<evict::s3_fifo>},
    {"least_stale", "FIFO, first of what this step has not asked for", make_plain_eviction<evict::least_stale>},
    {"window_hot", "LRU that keeps what many of the last accesses went to", make_plain_eviction<evict::window_hot>},
    {"static_top", "the profile's least popular expert", make_static_top},
    {"random", "a random one (control)", make_random},
    {"auto", "for each pool, the one of lru, lru_token, lfu_decayed, lfru, s3_fifo that did best of late", make_auto},
}};

/// All but oracle: an engine does not know the future.
constexpr std::array<named<predictor_maker>, 7> predictor_table{{
    {"none", "nothing is copied ahead", make_plain_predictor<buddy::prediction::none>},
    {"previous_token", "the layer's experts of the token before",
     make_plain_predictor<buddy::prediction::previous_token>},
    {"previous_token_fill", "these, then the layer's most frequent",
     make_plain_predictor<buddy::prediction::previous_token_fill>},
    {"frequency", "the layer's most frequent, or of late: --ema-alpha", make_frequency},
    {"markov", "what usually follows the experts of the layer before", make_markov},
    {"next_gate", "what the layer's router likes --gate-ahead layers before", make_next_gate},
    {"activation_map", "what the most similar earlier text used", make_activation_map},
}};

constexpr std::array<named<sensitivity_maker>, 11> sensitivity_table{{
    {"never", "no slot may be replaced", make_plain_sensitivity<any_sensitivity::model::never>},
    {"always", "every slot may be replaced", make_plain_sensitivity<any_sensitivity::model::always>},
    {"entropy_gate", "tokens with flat gate weights: TAE above --tau or --tau-percentile", make_entropy_gate},
    {"margin_gate", "tokens whose two largest shares are closer than --gamma", make_margin_gate},
    {"weight_gate", "slots whose share is below --weight-threshold", make_weight_gate},
    {"score_gate", "slots whose router probability is below --score-threshold", make_score_gate},
    {"keep_top", "all but the --keep-top heaviest slots", make_keep_top},
    {"drop_cold", "slots below --cold-factor times an equal share, never the heaviest", make_drop_cold},
    {"ser_gate", "SER: below --ser-ratio times the largest, never the --keep-top heaviest", make_ser_gate},
    {"adapmoe_gate", "AdapMoE: the lightest, while their summed share squared is below --error-limit",
     make_adapmoe_gate},
    {"share_gate", "a --replaceable-share of all slots, by lot (control)", make_share_gate},
}};

constexpr std::array<named<selector_maker>, 11> selector_table{{
    {"none", "no stand-in", make_plain_selector<any_selector::model::none>},
    {"random_resident", "any resident expert (control)", make_random_resident},
    {"coactivation", "BuddyMoE: the peer most often active together with the missing expert", make_coactivation},
    {"live_score", "the resident expert that the router likes best",
     make_plain_selector<any_selector::model::live_score>},
    {"zero_fill", "the slot is left out (control)", make_plain_selector<any_selector::model::zero_fill>},
    {"router_similarity", "the peer whose router row points most nearly the same way", make_router_similarity},
    {"output_similarity", "SERE: the peer whose outputs were most alike, by --outputs", make_output_similarity},
    {"cache_prior", "the best resident, if --lambda times the range of logits lifts it above", make_cache_prior},
    {"rank_window", "the best resident, if fewer than --window experts are ranked before it", make_rank_window},
    {"precision_by_mass", "HOBBIT: by the share of heavier experts itself, a low-precision copy, nothing",
     make_precision_by_mass},
    {"expected_error", "what is expected to lose least, with its price: for --order least-loss", make_expected_error},
}};

}  // namespace

std::span<named<any_eviction::maker> const> evictions() { return eviction_table; }
std::span<named<predictor_maker> const> predictors() { return predictor_table; }
std::span<named<sensitivity_maker> const> sensitivities() { return sensitivity_table; }
std::span<named<selector_maker> const> selectors() { return selector_table; }

}  // namespace harness
