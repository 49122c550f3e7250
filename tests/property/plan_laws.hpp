// SPDX-License-Identifier: Apache-2.0
// What every plan must obey, whatever the components.
#pragma once

#include <buddy/concepts/expert_cache.hpp>
#include <buddy/counters.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policy_config.hpp>
#include <buddy/routing.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <vector>

/// The cache and the counts as they were before a call.
struct snapshot {
  std::vector<buddy::slot_id> slots;     // [n_keys] resident or in flight
  std::vector<buddy::residency> states;  // [n_keys]
  buddy::layer_counters count;

  template <class Policy>
  snapshot(Policy const& policy, std::uint16_t layer) : count(policy.counters(layer)) {
    auto const& shape = policy.shape();
    for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
      for (std::uint16_t e = 0; e != shape.n_experts; ++e) {
        slots.push_back(policy.cache().slot_of({l, e}));
        states.push_back(policy.cache().where({l, e}));
      }
    }
  }
};

/// Checks one plan; every function returns the law that is broken, or null.
template <class Policy>
class plan_laws {
 public:
  plan_laws(Policy const& policy, snapshot const& before, buddy::routing const& r, buddy::layer_plan const& plan)
      : policy_(policy), config_(policy.config()), before_(before), r_(r), plan_(plan) {}

  [[nodiscard]] char const* broken() const {
    if (plan_.assignments.size != r_.experts.size) return "one assignment for each routed slot";
    if (auto const* law = batch()) return law;
    for (std::uint32_t t = 0; t != r_.n_tokens; ++t) {
      for (std::uint32_t s = 0; s != plan_.top_k; ++s)
        if (auto const* law = slot(t, s)) return law;
      if (auto const* law = token(t)) return law;
      if (auto const* law = token_weights(t)) return law;
    }
    if (auto const* law = copies()) return law;
    if (auto const* law = counts()) return law;
    return cache();
  }

 private:
  using how = buddy::resolution;

  [[nodiscard]] std::size_t key(std::uint16_t expert) const { return policy_.shape().index({plan_.layer, expert}); }
  [[nodiscard]] std::uint16_t routed(std::uint32_t t, std::uint32_t s) const { return r_.experts[t * plan_.top_k + s]; }
  [[nodiscard]] bool was_resident(std::uint16_t e) const {
    return before_.states[key(e)] == buddy::residency::resident;
  }
  [[nodiscard]] static bool is_stand_in(buddy::assignment const& a) {
    return a.how != how::own && a.why == buddy::refusal::none;
  }

  [[nodiscard]] char const* batch() const {
    std::set<std::uint16_t> const distinct(r_.experts.begin(), r_.experts.end());
    auto const missing =
        static_cast<double>(std::count_if(distinct.begin(), distinct.end(), [&](auto e) { return !was_resident(e); }));
    bool const closed = config_.exact || (config_.beta && missing >= *config_.beta * double(distinct.size()) + 1e-9);
    bool const any = std::any_of(plan_.assignments.begin(), plan_.assignments.end(), is_stand_in);
    return closed && any ? "no stand-in in exact mode, or when delta >= beta" : nullptr;
  }

  /// Whether a fetch may end on the CPU.
  [[nodiscard]] bool may_divide() const {
    return config_.on_refused == how::fetch && (config_.lanes.rule != buddy::lane_rule::fixed ||
                                                (config_.admissions_per_layer != 0 && config_.over_cap == how::host));
  }

  [[nodiscard]] char const* slot(std::uint32_t t, std::uint32_t s) const {
    auto const& a = plan_.at(t, s);
    auto const wanted = routed(t, s);
    if ((a.how == how::own) != was_resident(wanted)) return "own if, and only if, it was resident";
    if (a.how != how::buddy && a.expert != wanted) return "only a buddy is another expert";
    if (a.how == how::own || a.how == how::buddy) {
      if (a.slot != before_.slots[key(a.expert)]) return "a slot that is read is where its expert was";
      if (a.why != buddy::refusal::none) return "what was served was not refused";
    }
    if (a.how == how::buddy && !was_resident(a.expert)) return "a buddy is resident";
    if (a.how != how::own && !is_stand_in(a) && a.how != config_.on_refused && !(a.how == how::host && may_divide()))
      return "a refused slot ends as configured";
    if ((a.how == how::host || a.how == how::drop || a.how == how::low_precision) && a.slot != buddy::no_slot)
      return "host, drop and a low-precision copy have no slot";
    return nullptr;
  }

  [[nodiscard]] char const* token(std::uint32_t t) const {
    std::set<std::uint16_t> served;
    std::uint32_t given = 0;
    for (std::uint32_t s = 0; s != plan_.top_k; ++s) {
      auto const& a = plan_.at(t, s);
      given += is_stand_in(a) ? 1 : 0;
      if (a.how == how::buddy) {
        for (std::uint32_t other = 0; other != plan_.top_k; ++other)
          if (a.expert == routed(t, other)) return "a buddy is not an expert of the token";
      }
      if (!served.insert(a.expert).second) return "a token never computes one expert twice";
    }
    return given > config_.rho ? "at most rho stand-ins for a token" : nullptr;
  }

  [[nodiscard]] char const* token_weights(std::uint32_t t) const {
    bool changed = false;
    double before = 0.0;
    double after = 0.0;
    for (std::uint32_t s = 0; s != plan_.top_k; ++s) {
      auto const& a = plan_.at(t, s);
      changed |= a.how == how::drop || (a.how == how::buddy && config_.weights == buddy::weight_mode::own);
      before += static_cast<double>(r_.weights[t * plan_.top_k + s]);
      after += static_cast<double>(a.weight);
      if (a.how == how::drop && a.weight != 0.0F) return "a dropped slot weighs nothing";
      if (!(a.weight >= 0.0F)) return "weights are not negative";
    }
    if (config_.renormalise && changed) {
      return after > 0.0 && std::abs(after - before) > 1e-5 * before ? "renormalised weights add up" : nullptr;
    }
    for (std::uint32_t s = 0; s != plan_.top_k; ++s) {
      auto const& a = plan_.at(t, s);
      bool const kept = a.how != how::drop && (a.how != how::buddy || config_.weights == buddy::weight_mode::keep);
      if (kept && std::memcmp(&a.weight, &r_.weights[t * plan_.top_k + s], sizeof(float)) != 0)
        return "weights that nothing changes keep their bits";
    }
    return nullptr;
  }

  [[nodiscard]] buddy::expert_copy const* copy_of(std::uint16_t expert) const {
    for (auto const list : {plan_.fetches, plan_.waits})
      for (auto const& c : list)
        if (c.expert == buddy::expert_key{plan_.layer, expert}) return &c;
    return nullptr;
  }

  [[nodiscard]] char const* list(buddy::view<buddy::expert_copy const> copies, buddy::residency state_before,
                                 std::set<std::uint16_t>& moved) const {
    for (auto const& c : copies) {
      if (!moved.insert(c.expert.expert).second) return "one copy of an expert";
      if (c.bytes != policy_.cache().record_bytes(plan_.layer)) return "a copy moves one record of its layer";
      if (before_.states[policy_.shape().index(c.expert)] != state_before)
        return "fetches and refills were absent, waits in flight";
      if (std::find(r_.experts.begin(), r_.experts.end(), c.expert.expert) == r_.experts.end())
        return "copies are of experts that the batch asked for";
    }
    return nullptr;
  }

  [[nodiscard]] char const* copies() const {
    std::set<std::uint16_t> moved;
    if (auto const* law = list(plan_.fetches, buddy::residency::absent, moved)) return law;
    if (auto const* law = list(plan_.waits, buddy::residency::in_flight, moved)) return law;
    if (auto const* law = list(plan_.refills, buddy::residency::absent, moved)) return law;
    std::set<std::uint16_t> on_host;
    for (std::uint32_t i = 0; i != plan_.assignments.size; ++i) {
      auto const& a = plan_.assignments[i];
      if (a.how == how::host) on_host.insert(a.expert);
      if (a.how != how::fetch) continue;
      auto const* const c = copy_of(a.expert);
      if (c == nullptr || c->slot != a.slot) return "a fetched slot has its copy";
    }
    std::set<std::uint16_t> const listed(plan_.host_experts.begin(), plan_.host_experts.end());
    if (listed != on_host || listed.size() != plan_.host_experts.size) return "host experts are listed once";
    return nullptr;
  }

  [[nodiscard]] char const* counts() const {
    auto const& now = policy_.counters(plan_.layer);
    std::set<std::uint16_t> const distinct(r_.experts.begin(), r_.experts.end());
    auto const sum = [](auto const& a, auto const& b) {
      std::uint64_t n = 0;
      for (std::size_t i = 0; i != a.size(); ++i) n += a[i] - b[i];
      return n;
    };
    auto const own = now.slots_ending(how::own) - before_.count.slots_ending(how::own);
    if (now.tokens - before_.count.tokens != r_.n_tokens) return "tokens are counted";
    if (now.lookups - before_.count.lookups != distinct.size()) return "one look-up for each distinct expert";
    if (sum(now.slots, before_.count.slots) != plan_.assignments.size) return "resolutions add up to the slots";
    if (sum(now.refusals, before_.count.refusals) != plan_.assignments.size - own)
      return "refusals add up to the misses";
    if (now.fetches - before_.count.fetches != plan_.fetches.size) return "fetches are counted";
    if (now.waits - before_.count.waits != plan_.waits.size) return "waits are counted";
    if (now.refills - before_.count.refills != plan_.refills.size) return "refills are counted";
    if (now.useful_prefetches > now.prefetches) return "no more useful prefetches than prefetches";
    return nullptr;
  }

  /// Nothing that is read, on its way or leased has moved; the leases are the caller's to check.
  [[nodiscard]] char const* cache() const {
    if (!policy_.cache().audit()) return "the tables of the cache agree, within its budget";
    if (policy_.cache().bytes_used() > policy_.cache().byte_budget()) return "the byte budget holds";
    for (auto const& a : plan_.assignments) {
      if (a.how != how::own && a.how != how::buddy) continue;
      if (policy_.cache().slot_of({plan_.layer, a.expert}) != a.slot) return "what the batch reads stays";
    }
    for (std::uint16_t l = 0; l != policy_.shape().n_layers; ++l) {
      for (std::uint16_t e = 0; e != policy_.shape().n_experts; ++e) {
        auto const i = policy_.shape().index({l, e});
        if (before_.states[i] == buddy::residency::in_flight && policy_.cache().slot_of({l, e}) != before_.slots[i])
          return "what is in flight stays";
      }
    }
    return nullptr;
  }

  Policy const& policy_;
  buddy::policy_config const& config_;
  snapshot const& before_;
  buddy::routing const& r_;
  buddy::layer_plan const& plan_;
};
