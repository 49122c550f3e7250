// SPDX-License-Identifier: Apache-2.0
/// @file
/// Carries plans out over a link that moves bytes in real time.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/concepts/transfer_engine.hpp>
#include <buddy/error.hpp>
#include <buddy/giving_way.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace harness {

/// What a link has carried, and how long a layer waited for it.
struct link_totals {
  std::uint64_t stall_ns{};
  std::array<std::uint64_t, 3> bytes{};  ///< by `buddy::copy_reason`
  std::uint64_t background_cancelled{};  ///< refills and prefetches that gave way before they ended
};

/// The host engine towards the policy, as `offload_clock` plays it for the modelled link: every copy of a plan ends in
/// `commit` or `cancel`; background copies use the link when no layer waits for it, and give way when one does.
///
/// `run_layer` returns when all that the layer needs is in its slots. Between the layers the device is at rest (the
/// host has seen the router's scores), so a slot that the policy gives away may be written at once.
/// @tparam Link   a transfer engine that outlives this
/// @tparam Clock  for the waits
template <buddy::transfer_engine Link, class Clock = std::chrono::steady_clock>
class link_host {
 public:
  /// Refills and prefetches that may wait for the link or be under way: one moves, one waits.
  static constexpr std::size_t background_limit = 2;

  /// @param staging     first of top_k slots beyond the policy's: for fetches that no slot could be made for
  /// @param link_gbps   what an idle nanosecond of the link is worth, in bytes, to a governed prefetch
  link_host(Link& link, buddy::slot_id staging, double link_gbps)
      : link_{&link}, staging_{staging}, link_gbps_{link_gbps}, layer_began_{Clock::now()} {
    background_.reserve(background_limit);
    demand_.reserve(background_limit + buddy::max_top_k);
  }

  template <class Policy>
  void begin_layer(Policy& policy) {
    auto const now = Clock::now();
    std::uint64_t const idle_ns = background_.empty() && demand_.empty() ? ns_between(layer_began_, now) : 0;
    policy.background_bytes(static_cast<std::uint64_t>(static_cast<double>(idle_ns) * link_gbps_));
    settle(policy);
    policy.background_room(static_cast<std::uint32_t>(background_limit - background_.size()));
    layer_began_ = now;
  }

  /// Lets the policy prefetch for the layer that follows, too.
  /// @throws buddy::config_error when the link fails
  template <class Policy>
  void run_layer(Policy& policy, buddy::layer_plan const& plan) {
    BUDDY_ASSERT(plan.n_tokens == 1);
    make_way(policy, plan);
    submit_demand(plan);
    submit_background(plan.refills);
    prefetched_ = policy.prefetch(static_cast<std::uint16_t>((plan.layer + 1) % policy.shape().n_layers));
    submit_background(prefetched_);
    wait_for_demand();
    finish_demand(policy);
    settle(policy);
  }

  /// Where the device finds this expert's weights; `no_slot`: nowhere. Valid until the next `run_layer`.
  [[nodiscard]] buddy::slot_id slot_of(buddy::assignment const& a) const noexcept {
    if (a.slot != buddy::no_slot || a.how != buddy::resolution::fetch) return a.slot;
    auto const staged = std::find_if(demand_.begin(), demand_.end(),
                                     [&](pending const& p) { return p.copy.expert.expert == a.expert; });
    BUDDY_ASSERT(staged != demand_.end());
    return staged->slot;
  }

  /// What the policy named in the last `run_layer`; valid as long as the policy's answer is.
  [[nodiscard]] buddy::view<buddy::expert_copy const> prefetched() const noexcept { return prefetched_; }

  [[nodiscard]] link_totals const& totals() const noexcept { return totals_; }

 private:
  struct pending {
    buddy::expert_copy copy;
    buddy::slot_id slot;  // where the bytes go: `copy.slot`, or one for staging
    buddy::ticket ticket;
    bool in_background;  // already submitted by a prefetch or a refill, and settled as such
  };

  static std::uint64_t ns_between(typename Clock::time_point from, typename Clock::time_point to) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count());
  }

  template <class Policy>
  void make_way(Policy& policy, buddy::layer_plan const& plan) {
    std::erase_if(background_, [&](pending const& p) {
      if (!buddy::gives_way(p.copy, plan) || !link_->cancel(p.ticket)) return false;
      policy.cancel(p.copy);
      ++totals_.background_cancelled;
      return true;
    });
  }

  void submit_demand(buddy::layer_plan const& plan) {
    demand_.clear();
    for (pending const& p : background_) {
      if (!buddy::is_awaited(p.copy.expert, plan)) continue;
      demand_.push_back(p);
      demand_.back().in_background = true;
    }
    std::uint32_t staged = 0;
    for (buddy::expert_copy const& c : plan.fetches) {
      BUDDY_ASSERT(c.slot != buddy::no_slot || staged != plan.top_k);
      auto const slot =
          c.slot != buddy::no_slot ? c.slot : buddy::slot_id{static_cast<std::uint32_t>(staging_) + staged++};
      demand_.push_back({c, slot, submit(c, slot), false});
    }
  }

  void submit_background(buddy::view<buddy::expert_copy const> copies) {
    for (buddy::expert_copy const& c : copies) {
      BUDDY_ASSERT(background_.size() < background_limit);  // the policy was told how many
      background_.push_back({c, c.slot, submit(c, c.slot), true});
    }
  }

  buddy::ticket submit(buddy::expert_copy c, buddy::slot_id slot) {
    c.slot = slot;
    buddy::ticket const t = link_->submit(c);
    if (t == buddy::no_ticket) throw buddy::config_error("the link to the device takes no more copies: it has failed");
    return t;
  }

  void wait_for_demand() {
    if (demand_.empty()) return;
    auto const begin = Clock::now();
    for (pending const& p : demand_) {
      link_->wait(p.ticket);
      if (!link_->done(p.ticket)) throw buddy::config_error("the link to the device has failed");
    }
    totals_.stall_ns += ns_between(begin, Clock::now());
  }

  template <class Policy>
  void finish_demand(Policy& policy) {
    for (pending const& p : demand_)
      if (!p.in_background) commit(policy, p);
  }

  template <class Policy>
  void settle(Policy& policy) {
    std::erase_if(background_, [&](pending const& p) {
      if (!link_->done(p.ticket)) return false;
      commit(policy, p);
      return true;
    });
  }

  template <class Policy>
  void commit(Policy& policy, pending const& p) {
    policy.commit(p.copy);
    totals_.bytes[static_cast<std::size_t>(p.copy.why)] += p.copy.bytes;
  }

  Link* link_;
  buddy::slot_id staging_;
  double link_gbps_;
  std::vector<pending> background_;  // in the order of submission
  std::vector<pending> demand_;      // what the present layer waited for
  buddy::view<buddy::expert_copy const> prefetched_;
  link_totals totals_;
  typename Clock::time_point layer_began_;
};

}  // namespace harness
