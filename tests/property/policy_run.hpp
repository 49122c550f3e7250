// SPDX-License-Identifier: Apache-2.0
// A host that drives a policy with random routing, late and cancelled copies and leases, and checks every answer.
#pragma once

#include "property/chosen_model.hpp"
#include "property/combinations.hpp"
#include "property/plan_laws.hpp"
#include "property/random_routing.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

/// Four experts of company for each expert, by a formula; expert 0 of each layer has none.
inline buddy::buddy_table neighbours(buddy::model_shape const& shape) {
  buddy::buddy_table table(shape, 4);
  for (std::uint16_t l = 0; l != shape.n_layers; ++l)
    for (std::uint16_t e = 1; e != shape.n_experts; ++e)
      for (std::uint16_t i = 0; i != 4; ++i)
        table.append({l, e}, static_cast<std::uint16_t>((e + 1U + i * 2U) % shape.n_experts), 20000U - 4000U * i);
  return table;
}

/// Losses by a formula: expert 0 of each layer is never seen, some buddies are better than nothing, most are not. Made
/// once for each size, for the whole program.
inline buddy::expected_error_ref losses(buddy::model_shape const& shape) {
  static std::map<std::pair<std::uint16_t, std::uint16_t>, buddy::expected_errors> made;
  auto const [at, is_new] = made.try_emplace({shape.n_layers, shape.n_experts}, shape, 3000U);
  if (!is_new) return at->second.ref();
  at->second.add_buddies();
  for (std::uint16_t l = 0; l != shape.n_layers; ++l)
    for (std::uint16_t e = 1; e != shape.n_experts; ++e) {
      auto const how = e % 3 == 0 ? buddy::resolution::drop : buddy::resolution::low_precision;
      at->second.set_stand_in({l, e}, how, 500U + 100U * (e % 7U), 1);
      for (std::uint16_t j = 0; j != shape.n_experts; ++j)
        if (j != e) at->second.set_buddy({l, e}, j, {300U + 90U * ((e + j) % 11U), buddy::q16_one});
    }
  return at->second.ref();
}

struct run_settings {
  chosen::combination models{};
  buddy::policy_config config{};
  buddy::model_shape shape{.n_layers = 2, .n_experts = 10, .top_k = 3, .expert_bytes = 10};
  bool unequal_records{};
  std::uint64_t seed{};
};

inline chosen::gate gate_of(run_settings const& s) { return chosen::eager_gate(s.models.gate); }

inline chosen::selector selector_of(run_settings const& s, buddy::buddy_table_ref table) {
  chosen::selector selector = chosen::eager_selector(s.models.selector, table, losses(s.shape));
  selector.coactivation.eta_q16 = s.seed % 2 == 0 ? 0 : buddy::q16_one / 2;
  return selector;
}

inline chosen::policy make_policy(run_settings const& s, buddy::buddy_table_ref table) {
  // 11 of 20 records, or the same share of another model's
  buddy::cache_budget budget{.bytes = 11 * s.shape.n_keys() / 20 * s.shape.expert_bytes, .layout = s.models.pool};
  if (s.unequal_records) budget.layer_bytes = {10, 17};
  return {s.shape,
          buddy::slot_cache<chosen::eviction>(s.shape, budget, s.models.eviction),
          chosen::predictor(s.shape, s.models.predictor),
          gate_of(s),
          selector_of(s, table),
          s.config};
}

class policy_run {
 public:
  explicit policy_run(run_settings const& s)
      : table_(neighbours(s.shape)),
        policy_(make_policy(s, table_.ref())),
        routing_(s.shape, s.config.max_tokens, s.seed),
        steps_(s.seed % 4 == 0 ? 12 : 5) {}

  /// The first law that is broken, or null.
  char const* broken() {
    for (std::uint32_t step = 0; step != steps_; ++step) {
      policy_.begin_step();
      for (std::uint16_t l = 0; l != policy_.shape().n_layers; ++l)
        if (auto const* law = layer(l)) return law;
    }
    return nullptr;
  }

  [[nodiscard]] chosen::policy const& policy() const { return policy_; }

 private:
  char const* layer(std::uint16_t l) {
    auto const r = routing_.next();
    snapshot const before(policy_, l);
    auto const& plan = policy_.resolve(l, r);
    if (auto const* law = plan_laws(policy_, before, r, plan).broken()) return law;
    if (auto const* law = window(plan)) return law;
    for (auto const& c : plan.fetches) policy_.commit(c);
    for (auto const& c : plan.waits) arrive(c);
    pending_.insert(pending_.end(), plan.refills.begin(), plan.refills.end());
    std::vector<buddy::assignment> const read(plan.assignments.begin(), plan.assignments.end());
    auto const next = static_cast<std::uint16_t>((l + 1) % policy_.shape().n_layers);
    if (auto const* law = prefetch(next, l, read)) return law;
    settle_some();
    return lease_some();
  }

  /// Share of stand-ins over the last `ratio_window` tokens.
  char const* window(buddy::layer_plan const& plan) {
    auto const& config = policy_.config();
    for (std::uint32_t t = 0; t != plan.n_tokens; ++t) {
      std::uint32_t n = 0;
      for (std::uint32_t s = 0; s != plan.top_k; ++s)
        n += plan.at(t, s).how != buddy::resolution::own && plan.at(t, s).why == buddy::refusal::none ? 1 : 0;
      given_.push_back(n);
      std::uint64_t lost = 0;
      for (std::uint32_t s = 0; s != plan.top_k && !plan.losses_ub.empty(); ++s)
        lost += plan.losses_ub[t * plan.top_k + s];
      lost_.push_back(lost);
      if (auto const* law = budget()) return law;
      auto const rows = std::min<std::size_t>(given_.size(), config.ratio_window);
      double sum = 0;
      for (std::size_t i = given_.size() - rows; i != given_.size(); ++i) sum += given_[i];
      if (sum > config.replacement_ratio * static_cast<double>(rows * plan.top_k) + 1e-6)
        return "the replacement ratio holds in every window";
    }
    return nullptr;
  }

  /// Expected loss over the last `window_tokens` tokens.
  char const* budget() {
    auto const& o = policy_.config().loss;
    if (o.target_ub == 0) return nullptr;
    std::size_t const n_layers = policy_.shape().n_layers;
    auto const rows = std::min<std::size_t>(lost_.size(), o.window_tokens * n_layers);
    double sum = 0;
    for (std::size_t i = lost_.size() - rows; i != lost_.size(); ++i) sum += static_cast<double>(lost_[i]);
    double const row = static_cast<double>(o.target_ub) / static_cast<double>(n_layers);
    if (sum > row * static_cast<double>(rows) + 1e-6) return "the loss budget holds in every window";
    return static_cast<double>(lost_.back()) > row * o.cap_tokens + 1e-6 ? "the cap of a token holds" : nullptr;
  }

  char const* prefetch(std::uint16_t l, std::uint16_t present, std::vector<buddy::assignment> const& read) {
    snapshot const before(policy_, l);
    auto const copies = policy_.prefetch(l);
    std::set<buddy::expert_key> seen;
    for (auto const& c : copies) {
      if (c.expert.layer != l || !seen.insert(c.expert).second) return "a prefetch names each expert once";
      if (before.states[policy_.shape().index(c.expert)] != buddy::residency::absent) return "a prefetch was absent";
      if (policy_.cache().where(c.expert) != buddy::residency::in_flight) return "a prefetch is in flight";
      pending_.push_back(c);
    }
    for (auto const& a : read)
      if (a.slot != buddy::no_slot && policy_.cache().slot_of({present, a.expert}) != a.slot)
        return "a prefetch takes nothing that the present batch uses";
    return policy_.cache().audit() ? nullptr : "the tables agree after a prefetch";
  }

  void arrive(buddy::expert_copy const& c) {
    policy_.commit(c);
    auto const same = [&](auto const& p) { return p.expert == c.expert; };
    pending_.erase(std::remove_if(pending_.begin(), pending_.end(), same), pending_.end());
  }

  /// Background copies arrive, are cancelled or stay on their way.
  void settle_some() {
    std::vector<buddy::expert_copy> still;
    for (auto const& c : pending_) {
      auto const fate = routing_.below(4);
      if (fate == 0) policy_.cancel(c);
      if (fate == 1 || fate == 2) policy_.commit(c);
      if (fate == 3) still.push_back(c);
    }
    pending_ = std::move(still);
  }

  char const* lease_some() {
    for (auto const& [key, slot] : leases_)
      if (policy_.cache().slot_of(key) != slot) return "what is leased stays";
    if (leases_.size() == 2) {
      policy_.cache().release(leases_.front().second);
      leases_.erase(leases_.begin());
    }
    buddy::expert_key const key{static_cast<std::uint16_t>(routing_.below(policy_.shape().n_layers)),
                                static_cast<std::uint16_t>(routing_.below(policy_.shape().n_experts))};
    if (policy_.cache().where(key) != buddy::residency::resident) return nullptr;
    leases_.emplace_back(key, policy_.cache().slot_of(key));
    policy_.cache().lease(leases_.back().second);
    return nullptr;
  }

  buddy::buddy_table table_;
  chosen::policy policy_;
  random_routing routing_;
  std::uint32_t steps_;
  std::vector<buddy::expert_copy> pending_;
  std::vector<std::pair<buddy::expert_key, buddy::slot_id>> leases_;
  std::vector<std::uint32_t> given_;
  std::vector<std::uint64_t> lost_;
};
