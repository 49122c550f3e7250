// SPDX-License-Identifier: Apache-2.0
/// @file
/// One line a flag.
#include "harness/commands/policy_flags.hpp"

#include "harness/policy/layer_demand.hpp"
#include "harness/policy/presets.hpp"
#include "harness/policy/registry.hpp"

#include <buddy/error.hpp>

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace harness {

namespace {

template <class T>
T one_of(char const* flag, std::string const& word, std::initializer_list<std::pair<char const*, T>> choices) {
  std::string known;
  for (auto const& [name, value] : choices) {
    if (word == name) return value;
    known += (known.empty() ? "" : ", ") + std::string{name};
  }
  throw buddy::config_error(std::string{flag} + " '" + word + "': one of " + known);
}

}  // namespace

template <class T>
CLI::Option* policy_flags::add(CLI::App& command, std::string const& flag, std::string const& help,
                               std::function<void(policy_settings&, T const&)> set) {
  return command
      .add_option_function<T>(
          flag,
          [this, set](T const& value) { changes_.push_back([set, value](policy_settings& s) { set(s, value); }); },
          help)
      ->group("Policy");
}

CLI::Option* policy_flags::add_switch(CLI::App& command, std::string const& flag, std::string const& help,
                                      std::function<void(policy_settings&)> set) {
  return command.add_flag_function(flag, [this, set](std::int64_t) { changes_.push_back(set); }, help)->group("Policy");
}

void policy_flags::add_eviction(CLI::App& command) {
  add<std::string>(command, "--eviction", names_of(evictions()),
                   [](auto& s, auto const& name) { s.eviction = find_named(evictions(), "eviction", name).name; });
}

void policy_flags::add_components(CLI::App& command) {
  add<std::string>(
      command, "--pool", "one pool of slots, or one for each layer: global | per-layer", [](auto& s, auto const& word) {
        s.pool = one_of<buddy::pool_layout>(
            "--pool", word, {{"global", buddy::pool_layout::global}, {"per-layer", buddy::pool_layout::per_layer}});
      });
  add<std::string>(command, "--predictor", names_of(predictors()),
                   [](auto& s, auto const& name) { s.predictor = find_named(predictors(), "predictor", name).name; });
  add<std::string>(command, "--sensitivity", names_of(sensitivities()), [](auto& s, auto const& name) {
    s.sensitivity = find_named(sensitivities(), "sensitivity", name).name;
  });
  add<std::string>(command, "--selector", names_of(selectors()),
                   [](auto& s, auto const& name) { s.selector = find_named(selectors(), "selector", name).name; });
  add_switch(command, "--learnt", "markov starts from the profile's transitions", [](auto& s) { s.learnt = true; });
  add<double>(command, "--ema-alpha", "frequency: share of a count that the next token leaves",
              [](auto& s, double x) { s.ema_alpha = x; });
  add<std::uint16_t>(command, "--gate-ahead", "next_gate: layers ahead",
                     [](auto& s, std::uint16_t x) { s.gate_ahead = x; });
  add<std::uint32_t>(command, "--activation-maps", "activation_map: texts that are kept",
                     [](auto& s, std::uint32_t x) { s.n_maps = x; });
  add<std::uint16_t>(command, "--route-ahead", "experiment: routers decide so many layers before; 0: in place",
                     [](auto& s, std::uint16_t x) { s.route_ahead = x; });
  add<double>(command, "--half-life", "steps in which lfu_decayed forgets half",
              [](auto& s, double x) { s.half_life = x; });
  auto* const warm = add_switch(command, "--warm", "start with the profile's most popular experts resident",
                                [](auto& s) { s.warm = true; });
  add_switch(command, "--cold", "start with no expert resident", [](auto& s) { s.warm = false; })->excludes(warm);
}

void policy_flags::add_split(CLI::App& command) {
  add<std::string>(command, "--split", "slots of the layers: uniform | marginal-gain | adapmoe; needs per-layer pools",
                   [](auto& s, auto const& word) {
                     s.split = one_of<slot_split>("--split", word,
                                                  {{"uniform", slot_split::uniform},
                                                   {"marginal-gain", slot_split::marginal_gain},
                                                   {"adapmoe", slot_split::adapmoe}});
                   });
  command.add_option("--split-trace", split_trace_, "routing trace that the split is made from")->group("Policy");
  command.add_option("--split-window", split_window_, "only its first tokens; 0: all")->group("Policy");
}

void policy_flags::add_rules(CLI::App& command) {
  add<std::string>(
      command, "--on-refused", "a miss without a stand-in: fetch | host | drop", [](auto& s, auto const& word) {
        using buddy::resolution;
        s.rules.on_refused =
            one_of<resolution>("--on-refused", word,
                               {{"fetch", resolution::fetch}, {"host", resolution::host}, {"drop", resolution::drop}});
      });
  add<std::string>(command, "--weights", "gate weight of a stand-in: keep (the missing expert's) | own",
                   [](auto& s, auto const& word) {
                     using buddy::weight_mode;
                     s.rules.weights = one_of<weight_mode>("--weights", word,
                                                           {{"keep", weight_mode::keep}, {"own", weight_mode::own}});
                   });
  add<std::string>(command, "--order", "which miss is served first: router | lightest-first | least-loss",
                   [](auto& s, auto const& word) {
                     using buddy::budget_order;
                     s.rules.order = one_of<budget_order>("--order", word,
                                                          {{"router", budget_order::router},
                                                           {"lightest-first", budget_order::lightest_first},
                                                           {"least-loss", budget_order::least_loss}});
                   });
  add<std::string>(command, "--miss-lanes", "who takes the misses that would be fetched: fixed | fiddler | q-star",
                   [](auto& s, auto const& word) {
                     using buddy::lane_rule;
                     s.rules.lanes.rule = one_of<lane_rule>(
                         "--miss-lanes", word,
                         {{"fixed", lane_rule::fixed}, {"fiddler", lane_rule::fiddler}, {"q-star", lane_rule::q_star}});
                   });
  add<std::string>(
      command, "--over-cap", "a fetch beyond --admissions: fetch (by staging) | host", [](auto& s, auto const& word) {
        using buddy::resolution;
        s.rules.over_cap =
            one_of<resolution>("--over-cap", word, {{"fetch", resolution::fetch}, {"host", resolution::host}});
      });
  add<std::string>(command, "--prefetch-mode", "always | governed (idle bytes, useful ranks) | retain-only",
                   [](auto& s, auto const& word) {
                     using buddy::prefetch_mode;
                     s.rules.prefetch = one_of<prefetch_mode>("--prefetch-mode", word,
                                                              {{"always", prefetch_mode::always},
                                                               {"governed", prefetch_mode::governed},
                                                               {"retain-only", prefetch_mode::retain_only}});
                   });
  add_switch(command, "--renormalise", "scale changed gate weights back to their sum",
             [](auto& s) { s.rules.renormalise = true; });
  add_switch(command, "--exact", "never substitute", [](auto& s) { s.rules.exact = true; });
}

void policy_flags::add_budgets(CLI::App& command) {
  add<double>(command, "--beta", "no stand-in at a layer that misses this share of its experts",
              [](auto& s, double x) { s.rules.beta = x; });
  add<std::uint32_t>(command, "--rho", "most stand-ins for one token at one layer",
                     [](auto& s, std::uint32_t x) { s.rules.rho = x; });
  add<double>(command, "--replacement-ratio", "largest share of routed slots with a stand-in",
              [](auto& s, double x) { s.rules.replacement_ratio = x; });
  add<std::uint32_t>(command, "--ratio-window", "token-layers over which that share is kept",
                     [](auto& s, std::uint32_t x) { s.rules.ratio_window = x; });
  add<std::uint32_t>(command, "--refill-after", "a replaced expert is copied at its n-th miss; 0: never",
                     [](auto& s, std::uint32_t x) { s.rules.refill_after = x; });
  add<std::uint64_t>(command, "--refill-bytes", "most bytes of such copies in a step; 0: no limit",
                     [](auto& s, std::uint64_t x) { s.rules.refill_bytes_per_step = x; });
  add<std::uint32_t>(command, "--admissions", "most copies that enter in one layer of one step; 0: no limit",
                     [](auto& s, std::uint32_t x) { s.rules.admissions_per_layer = x; });
  add<std::uint32_t>(command, "--prefetch-width", "most copies ahead for one layer; 0: top-k",
                     [](auto& s, std::uint32_t x) { s.rules.prefetch_width = x; });
}

void policy_flags::add_losses(CLI::App& command) {
  add<std::string>(command, "--max-loss",
                   "expected_error: what may be lost, 1% of the bits per byte or 0.02 bits a byte",
                   [](auto& s, auto const& text) { s.loss.promise = loss_promise::parse(text); });
  add_switch(command, "--no-guard", "expected_error: the profile is believed, nothing is audited",
             [](auto& s) { s.loss.guard = false; });
  add<std::uint32_t>(command, "--slot-audits", "guard: replaced slots that are measured in 1000 tokens",
                     [](auto& s, std::uint32_t x) { s.loss.slot_audits = x; });
  add<std::uint32_t>(command, "--token-audits", "guard: tokens that are measured in 10000; 0: none",
                     [](auto& s, std::uint32_t x) { s.loss.token_audits = x; });
}

void policy_flags::add_gate(CLI::App& command) {
  auto* const tau = add<double>(command, "--tau", "entropy_gate: forbids at or below this entropy",
                                [](auto& s, double x) { s.tau = x; });
  add<std::uint32_t>(command, "--tau-percentile", "entropy_gate: this percentile of each layer instead",
                     [](auto& s, std::uint32_t x) { s.tau_percentile = x; })
      ->excludes(tau);
  add<double>(command, "--temperature", "entropy_gate: of the softmax", [](auto& s, double x) { s.temperature = x; });
  add<double>(command, "--gamma", "entropy_gate, margin_gate: forbids from this margin upwards",
              [](auto& s, double x) { s.gamma = x; });
  add<double>(command, "--weight-threshold", "weight_gate: smallest gate share that is protected",
              [](auto& s, double x) { s.weight_threshold = x; });
}

void policy_flags::add_other_gates(CLI::App& command) {
  add<std::uint32_t>(command, "--keep-top", "keep_top, ser_gate: heaviest slots that are never replaced",
                     [](auto& s, std::uint32_t x) { s.other.n_kept = x; });
  add<double>(command, "--cold-factor", "drop_cold: smallest share that is protected, in equal shares",
              [](auto& s, double x) { s.other.cold_factor = x; });
  add<double>(command, "--ser-ratio", "ser_gate: smallest weight that is protected, in the largest",
              [](auto& s, double x) { s.other.ser_ratio = x; });
  add<double>(command, "--replaceable-share", "share_gate: of the slots that may be replaced",
              [](auto& s, double x) { s.other.replaceable_share = x; });
  add<double>(command, "--error-limit", "adapmoe_gate: of the squared share that may be replaced",
              [](auto& s, double x) { s.other.error_limit = x; });
  add<double>(command, "--score-threshold", "score_gate: smallest router probability that is protected",
              [](auto& s, double x) { s.other.score_threshold = x; });
}

void policy_flags::add_other_selectors(CLI::App& command) {
  add<std::string>(command, "--outputs", "output_similarity: cosine | cka | frobenius", [](auto& s, auto const& word) {
    using buddy::output_kind;
    s.other.outputs = one_of<output_kind>(
        "--outputs", word,
        {{"cosine", output_kind::cosine}, {"cka", output_kind::cka}, {"frobenius", output_kind::frobenius}});
  });
  add<double>(command, "--similarity-threshold", "router_similarity, output_similarity: smallest that may stand in",
              [](auto& s, double x) { s.other.similarity_threshold = x; });
  add<double>(command, "--lambda", "cache_prior: bonus of residents, in ranges of the logits",
              [](auto& s, double x) { s.other.lambda = x; });
  add<std::uint32_t>(command, "--window", "rank_window: ranks that may stand in",
                     [](auto& s, std::uint32_t x) { s.other.window = x; });
  add<double>(command, "--window-mass", "rank_window: largest share of all score ranked before a stand-in",
              [](auto& s, double x) { s.other.window_mass = x; });
  add<double>(command, "--substitute-scale", "rank_window: factor of a stand-in's output",
              [](auto& s, double x) { s.other.substitute_scale = x; });
  add<double>(command, "--full-mass", "precision_by_mass: share of heavier slots up to which a miss is fetched",
              [](auto& s, double x) { s.other.full_mass = x; });
  add<double>(command, "--low-mass", "precision_by_mass: ... up to which its low-precision copy is used",
              [](auto& s, double x) { s.other.low_mass = x; });
  add<double>(command, "--low-precision-ratio", "precision_by_mass: size of a copy over the record's",
              [](auto& s, double x) { s.other.low_precision_ratio = x; });
}

void policy_flags::add_stand_ins(CLI::App& command) {
  add<std::string>(command, "--stand-ins",
                   "the profile's that are resident for every expert; their bytes come off the slots",
                   [](auto& s, auto const& name) { s.loss.stand_ins = name; });
  add_switch(command, "--free-stand-ins", "experiment: they cost no bytes",
             [](auto& s) { s.loss.free_stand_ins = true; });
  add_switch(command, "--buddies", "expected_error: residents may stand in too",
             [](auto& s) { s.loss.buddies = true; });
}

void policy_flags::add_lists(CLI::App& command) {
  add<double>(command, "--alpha", "coactivation: coverage of the lists", [](auto& s, double x) { s.lists.alpha = x; });
  add<std::uint32_t>(command, "--k-max", "coactivation: longest list",
                     [](auto& s, std::uint32_t x) { s.lists.k_max = x; });
  add<std::uint32_t>(command, "--search-limit", "selectors with lists: entries that are looked at; 1: the nearest",
                     [](auto& s, std::uint32_t x) {
                       if (x == 0) throw buddy::config_error("--search-limit must be at least 1");
                       s.search_limit = x;
                     });
  add<std::string>(command, "--counts", "coactivation: binary | min-weighted", [](auto& s, auto const& word) {
    using buddy::coactivation_counts;
    s.lists.counts = one_of<coactivation_counts>(
        "--counts", word,
        {{"binary", coactivation_counts::binary}, {"min-weighted", coactivation_counts::min_weighted}});
  });
  add<double>(command, "--eta", "coactivation: weight of the live score", [](auto& s, double x) { s.eta = x; });
}

void policy_flags::add_to(CLI::App& command) {
  add_eviction(command);
  add_all_but_eviction_to(command);
}

void policy_flags::add_all_but_eviction_to(CLI::App& command) {
  add_components(command);
  add_split(command);
  add_rules(command);
  add_budgets(command);
  add_losses(command);
  add_gate(command);
  add_other_gates(command);
  add_other_selectors(command);
  add_lists(command);
  add_stand_ins(command);
}

void policy_flags::apply(policy_settings& settings) const {
  for (auto const& change : changes_) change(settings);
  if (split_trace_.empty()) return;
  if (!demand_) demand_ = read_demand(split_trace_, split_window_);
  settings.demand = demand_;
}

namespace {

template <class Table>
std::string lines_of(char const* role, Table const& table) {
  std::string out = std::string{role} + ":\n";
  for (auto const& line : table)
    out += "  " + std::string{line.name} + std::string(line.name.size() < 16 ? 16 - line.name.size() : 1, ' ') +
           std::string{line.help} + "\n";
  return out;
}

}  // namespace

std::string component_help() {
  return lines_of("Policies", presets()) + lines_of("Eviction", evictions()) + lines_of("Predictor", predictors()) +
         lines_of("Sensitivity", sensitivities()) + lines_of("Selector", selectors());
}

}  // namespace harness
