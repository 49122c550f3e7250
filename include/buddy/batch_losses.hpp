// SPDX-License-Identifier: Apache-2.0
/// @file
/// The loss budget over the tokens of a batch: what each row may lose, what it lost, and which fetches are shared.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/fixed_list.hpp>
#include <buddy/loss_budget.hpp>
#include <buddy/miss_lanes.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policy_config.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/row_rules.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

namespace detail {

/// Time of n misses that get no stand-in, n in [0, top_k], in fetches, Q16; empty where that is n.
[[nodiscard]] inline std::vector<q16> lane_times(policy_config const& c, std::uint32_t top_k) {
  std::vector<q16> times;
  if (c.lanes.rule == lane_rule::fixed || c.on_refused != resolution::fetch) return times;
  for (std::uint32_t n = 0; n <= top_k; ++n) {
    bool const to_host = c.lanes.rule == lane_rule::fiddler && host_is_sooner(c.lanes, 1);
    std::uint32_t const fetched = c.lanes.rule == lane_rule::q_star ? q_star_fetches(c.lanes, n) : to_host ? 0 : n;
    std::uint64_t const link = fetched * c.lanes.fetch_ns;
    std::uint64_t const cpu = (n - fetched) * c.lanes.host_ns;
    times.push_back(static_cast<q16>(((link > cpu ? link : cpu) << 16) / c.lanes.fetch_ns));
  }
  return times;
}

}  // namespace detail

/// Spends the loss budget row by row. Nothing is kept, and nothing costs time, unless the order is `least_loss`.
///
/// A fetch serves every token of the batch that wants the expert. So an expert whose stand-ins together would lose more
/// than one fetch is worth *arrives*: no token replaces it; nor does one after a token that fetches it. No allocation
/// after construction.
class batch_losses {
 public:
  batch_losses(model_shape const& shape, policy_config const& c)
      : by_loss_(c.order == budget_order::least_loss),
        shares_fetches_(by_loss_ && c.max_tokens > 1 && c.on_refused == resolution::fetch),
        top_k_(shape.top_k),
        budget_(c.loss, shape.n_layers),
        times_(by_loss_ ? detail::lane_times(c, shape.top_k) : std::vector<q16>{}),
        wanted_ub_(shares_fetches_ ? shape.n_experts : 0),
        arriving_(shape.n_experts),
        losses_(by_loss_ ? std::size_t{c.max_tokens} * shape.top_k : 0) {}

  [[nodiscard]] loss_budget& budget() noexcept { return budget_; }
  [[nodiscard]] bool by_loss() const noexcept { return by_loss_; }
  [[nodiscard]] bool shares_fetches(std::uint32_t n_tokens) const noexcept { return shares_fetches_ && n_tokens > 1; }

  /// Rows that missed nothing.
  void push_hits(std::uint32_t n_tokens) noexcept {
    losses_.clear();
    budget_.push_rows_without(n_tokens);
  }

  void begin(std::uint32_t n_slots) noexcept {
    if (!by_loss_) return;
    losses_.resize(n_slots);
    for (auto& x : losses_.all()) x = 0;
    if (!shares_fetches_) return;
    for (auto& x : wanted_ub_) x = 0;
    arriving_ = expert_set(static_cast<std::uint32_t>(wanted_ub_.size()));
  }

  /// One token of the batch, before any is resolved: what its stand-ins would lose.
  template <buddy_selector Selector>
  void weigh(token_view const& token, slot_mask missing, view<slot_id const> slot_of,
             Selector const& selector) noexcept {
    expert_set taken(slot_of.size);
    for (std::uint16_t const e : token.experts) taken.insert(e);
    std::uint64_t const worth = budget_.left().worth_ub(1);
    for (; missing != 0; missing &= missing - 1) {
      std::uint32_t const s = first_slot(missing);
      stand_in const found = selector.select(token, slot_of, taken, s);
      auto& wanted = wanted_ub_[token.experts[s]];
      wanted += found.found ? found.loss_ub : unknown_loss_ub;
      if (wanted > worth) arriving_.insert(token.experts[s]);
    }
  }

  /// What the next row may lose. @param experts  [top_k] of the row,
  [[nodiscard]] loss_limits limits_of(view<std::uint16_t const> experts) const noexcept {
    loss_limits limits = budget_.left();
    limits.times_q16 = {times_.data(), static_cast<std::uint32_t>(times_.size())};
    for (std::uint32_t s = 0; shares_fetches_ && s != experts.size; ++s)
      if (arriving_.contains(experts[s])) limits.arriving |= slot_mask{1} << s;
    return limits;
  }

  /// The row is resolved. @param missing  slots whose ends count
  void push(std::uint32_t t, slot_mask missing, view<slot_outcome const> ends) noexcept {
    if (!by_loss_) return;
    std::uint64_t sum = 0;
    for (; missing != 0; missing &= missing - 1) {
      std::uint32_t const s = first_slot(missing);
      losses_[t * top_k_ + s] = ends[s].loss_ub;
      sum += ends[s].loss_ub;
      if (shares_fetches_ && ends[s].how == resolution::fetch) arriving_.insert(ends[s].expert);
    }
    budget_.push(sum < unknown_loss_ub ? static_cast<std::uint32_t>(sum) : unknown_loss_ub);
  }

  [[nodiscard]] view<std::uint32_t const> losses() const noexcept { return losses_.all(); }

 private:
  bool by_loss_;
  bool shares_fetches_;
  std::uint32_t top_k_;
  loss_budget budget_;
  std::vector<q16> times_;                // [top_k + 1], or empty
  std::vector<std::uint64_t> wanted_ub_;  // [n_experts] loss of all stand-ins that the batch would give for it
  expert_set arriving_;
  fixed_list<std::uint32_t> losses_;  // [n_tokens, top_k]
};

}  // namespace buddy::inline v0
