// SPDX-License-Identifier: Apache-2.0
/// @file
/// What each named policy is made of.
#include "harness/policy/presets.hpp"

#include <buddy/error.hpp>

#include <array>

namespace harness {

namespace {

using settings = policy_settings;

/// Every miss is replaced, and each asks for a copy of its expert in the background (`refill_after` is 1). The link
/// carries fewer copies than there are misses: the clock tells the policy how many may wait, and it asks for no more.
void substitute(settings& s, char const* selector) {
  s.sensitivity = "always";
  s.selector = selector;
}

/// Only the light slots are replaced; the heavy ones are fetched, and they alone are admitted.
void substitute_light(settings& s, char const* selector) {
  s.sensitivity = "weight_gate";
  s.selector = selector;
  s.rules.refill_after = 0;
}

/// As evaluated in the paper: fixed tau .95, 16 buddies, the first resident one; what is refused is fetched, what was
/// replaced is not. The same as `buddy::policies::buddymoe`.
void buddymoe(settings& s, std::uint32_t rho) {
  s.sensitivity = "entropy_gate";
  s.selector = "coactivation";
  s.rules.rho = rho;
  s.rules.refill_after = 0;
}

/// Missing experts that the gate lets go are left out; the others are fetched, and they alone are admitted.
void leave_out(settings& s, char const* gate) {
  s.sensitivity = gate;
  s.selector = "zero_fill";
  s.rules.refill_after = 0;
}

/// The top-k is taken again in favour of residents: the lightest missing ones lose first, at the residents' own
/// weights, which then add up to what they did. What is not chosen is not copied either.
void reroute(settings& s, char const* selector, std::uint32_t n_kept) {
  s.sensitivity = "keep_top";
  s.other.n_kept = n_kept;
  s.selector = selector;
  s.rules.order = buddy::budget_order::lightest_first;
  s.rules.weights = buddy::weight_mode::own;
  s.rules.renormalise = true;
  s.rules.refill_after = 0;
}

/// One number decides: misses are replaced where that costs least for the time it saves, as much as the promise allows.
/// Only what is fetched enters; who is asked for often stays, served by a stand-in or not.
void bounded(settings& s) {
  s.sensitivity = "always";
  s.selector = "expected_error";
  s.eviction = "lfu_decayed";
  s.half_life = 128;
  s.rules.order = buddy::budget_order::least_loss;
  s.rules.refill_after = 0;
  s.loss.promise = loss_promise{0.01, true};
}

/// Nothing is waited for: every miss is computed from what a plan keeps resident, and asks for a copy in the
/// background.
void stand_in(settings& s) {
  substitute(s, "expected_error");
  s.loss.stand_ins = "planned";
}

constexpr std::array<preset, 24> table{{
    {"all_resident", "every expert in fast memory: the upper bound", [](settings& s) { s.cache_ratio = 1.0; }},
    {"fetch", "per-layer LRU, every miss is fetched", [](settings&) {}},
    {"prefetch", "fetch, and copies ahead what usually follows",
     [](settings& s) {
       s.predictor = "markov";
       s.rules.prefetch_width = 1;
     }},
    {"prefetch_governed", "the same within the link's idle bytes, and only while it proves useful",
     [](settings& s) {
       s.predictor = "markov";
       s.rules.prefetch_width = 2;
       s.rules.prefetch = buddy::prefetch_mode::governed;
     }},
    {"drop", "every miss is left out", [](settings& s) { substitute(s, "zero_fill"); }},
    {"random", "every miss is served by a random resident expert",
     [](settings& s) { substitute(s, "random_resident"); }},
    {"buddymoe", "BuddyMoE as published: tau .95, 16 buddies, at most 3 a token", [](settings& s) { buddymoe(s, 3); }},
    {"buddymoe_rho4", "BuddyMoE with at most 4 a token", [](settings& s) { buddymoe(s, 4); }},
    {"live_score", "every miss is served by the resident expert the router likes best, at its own weight",
     [](settings& s) {
       substitute(s, "live_score");
       s.rules.weights = buddy::weight_mode::own;
     }},
    {"drop_light", "slots of gate share below .12 are left out, the others fetched",
     [](settings& s) { substitute_light(s, "zero_fill"); }},
    {"random_light", "... are served by a random resident expert",
     [](settings& s) { substitute_light(s, "random_resident"); }},
    {"buddy_light", "... are served by a co-activation buddy",
     [](settings& s) { substitute_light(s, "coactivation"); }},
    {"live_light", "... are served by the resident expert the router likes best, at its own weight",
     [](settings& s) {
       substitute_light(s, "live_score");
       s.rules.weights = buddy::weight_mode::own;
     }},
    {"cache_prior", "top-k of logits with a bonus of half their range for residents, the top expert kept",
     [](settings& s) { reroute(s, "cache_prior", 1); }},
    {"rank_window", "residents of the first 12 ranks instead of the missing, the top 2 kept",
     [](settings& s) { reroute(s, "rank_window", 2); }},
    {"drop_cold", "misses below 3/4 of an equal share are left out, the others fetched",
     [](settings& s) { leave_out(s, "drop_cold"); }},
    {"zero_fill", "misses of router probability below .03 are left out, the others fetched",
     [](settings& s) { leave_out(s, "score_gate"); }},
    {"ser", "SER: misses below 1/4 of the top expert's weight are left out, the top 2 and the others fetched",
     [](settings& s) {
       leave_out(s, "ser_gate");
       s.other.n_kept = 2;
     }},
    {"adapmoe", "AdapMoE's gate: the lightest misses are left out while their squared share is below .005",
     [](settings& s) {
       leave_out(s, "adapmoe_gate");
       s.rules.renormalise = true;
     }},
    {"sere", "SERE: all but the top 2 are served by the resident whose outputs are most alike",
     [](settings& s) {
       s.sensitivity = "keep_top";
       s.other.n_kept = 2;
       s.selector = "output_similarity";
       s.rules.refill_after = 0;
     }},
    {"hobbit", "HOBBIT: heavy misses fetched, lighter ones from low-precision copies, the lightest left out",
     [](settings& s) {
       s.sensitivity = "always";
       s.selector = "precision_by_mass";
       s.rules.refill_after = 0;
     }},
    {"stand_in", "every miss is computed from a stand-in of the profile; a plan divides the bytes", stand_in},
    {"buddy", "every miss is served by a co-activation buddy: BuddyMoE without its gates",
     [](settings& s) { substitute(s, "coactivation"); }},
    {"bounded", "replaces what loses least, up to --max-loss; a guard keeps the promise", bounded},
}};

}  // namespace

std::span<preset const> presets() { return table; }

policy_settings preset_settings(std::string_view name) {
  std::string known;
  for (preset const& p : table) {
    if (p.name == name) {
      settings s;
      s.name = name;
      p.apply(s);
      return s;
    }
    known += (known.empty() ? "" : ", ") + std::string{p.name};
  }
  throw buddy::config_error("unknown policy '" + std::string{name} + "': one of " + known);
}

}  // namespace harness
