// SPDX-License-Identifier: Apache-2.0
/// @file
/// The virtual time of a model whose experts come over a link: what each layer of each token costs.
#pragma once

#include "harness/sim/layer_cost.hpp"
#include "harness/sim/timeline.hpp"

#include <buddy/assert.hpp>
#include <buddy/giving_way.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/policies/transfer/sim_link.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace harness {

/// What has been charged so far.
struct clock_totals {
  std::uint64_t layers{};
  std::uint64_t elapsed_ns{};
  std::uint64_t stall_ns{};                   ///< beyond what the layers take with every expert resident
  std::array<std::uint64_t, 3> link_bytes{};  ///< moved, by `buddy::copy_reason`
  std::uint64_t background_cancelled{};       ///< refills and prefetches that gave way before they began

  [[nodiscard]] std::uint64_t all_link_bytes() const noexcept { return link_bytes[0] + link_bytes[1] + link_bytes[2]; }
};

/// Charges time, one token at a time, and plays the host engine towards the policy: every copy that a plan lists ends
/// in `commit` or `cancel`.
///
/// With M fetched of k distinct experts a layer takes
///   rest + resolve + max((k - 1) t_e, M t_x) + t_e          (M > 0; t_e one expert's read, t_x one copy)
///   rest + resolve + k t_e                                  (M = 0)
/// since all but the last to arrive are computed while the link works. Experts on the CPU run beside that. Background
/// copies use the link when no layer waits for it; once one does, those that have not begun give way.
class offload_clock {
 public:
  /// Refills and prefetches that may wait for the link or be under way: one moves, one waits.
  static constexpr std::size_t background_limit = 2;

  /// @param drawn  is told of everything that takes time; null: nobody is, at no cost
  offload_clock(hardware const& h, charged_shape const& s, timeline* drawn = nullptr)
      : cost_(cost_of(h, s)), link_(link_of(h)), link_bytes_per_ns_(h.link_gbps), drawn_(drawn) {
    background_.reserve(background_limit);
  }

  /// The layer runs up to its router; what has arrived by then is resident. Call it before `policy.resolve`.
  template <class Policy>
  void begin_layer(Policy& policy) {
    layer_began_ns_ = link_.now_ns();
    std::uint64_t const idle_ns = background_.empty() ? cost_.rest_ns + computed_alone_ns_ : 0;
    policy.background_bytes(static_cast<std::uint64_t>(static_cast<double>(idle_ns) * link_bytes_per_ns_));
    link_.advance_to(layer_began_ns_ + cost_.rest_ns);
    settle(policy);
    policy.background_room(static_cast<std::uint32_t>(background_limit - background_.size()));
  }

  /// Executes the plan of this layer, and lets the policy prefetch for the one that follows.
  template <class Policy>
  void run_layer(Policy& policy, buddy::layer_plan const& plan) {
    BUDDY_ASSERT(plan.n_tokens == 1);
    std::uint64_t const start = link_.now_ns() + cost_.resolve_ns;
    link_.advance_to(start);
    auto const device = count_device(plan);
    std::uint64_t const host = host_ns(plan);
    make_way(policy, plan);
    submit_demand(plan);
    submit_background(plan.refills);
    submit_background(policy.prefetch(next_layer(policy, plan.layer)));
    if (drawn_ != nullptr) note_times(plan.layer);

    computed_alone_ns_ = demand_.empty() ? device * cost_.expert_ns : 0;
    std::uint64_t const computed = start + device * cost_.expert_ns;
    std::uint64_t end = computed;
    if (!demand_.empty()) {
      for (pending const& p : demand_) link_.wait(p.ticket);
      end = std::max(end - cost_.expert_ns, link_.now_ns()) + cost_.expert_ns;
    }
    link_.advance_to(std::max(end, start + host));
    if (drawn_ != nullptr) draw(plan.layer, {start, computed, end, host});
    finish_demand(policy);
    settle(policy);
    account(plan.top_k);
  }

  [[nodiscard]] clock_totals const& totals() const noexcept { return totals_; }
  [[nodiscard]] layer_cost const& cost() const noexcept { return cost_; }

 private:
  struct pending {
    buddy::expert_copy copy;
    buddy::ticket ticket;
    bool in_background;                   // already submitted by a prefetch or a refill, and settled as such
    buddy::transfer::link_times times{};  // only if drawn
  };

  /// What `draw` needs of one layer.
  struct layer_times {
    std::uint64_t start_ns;     ///< of the experts
    std::uint64_t computed_ns;  ///< their end, if nothing is waited for
    std::uint64_t end_ns;       ///< their end
    std::uint64_t host_ns;      ///< what the CPU takes
  };

  /// Distinct experts that the device reads in this layer; a token never computes one twice.
  [[nodiscard]] static std::uint64_t count_device(buddy::layer_plan const& plan) noexcept {
    return static_cast<std::uint64_t>(
        std::count_if(plan.assignments.begin(), plan.assignments.end(), [](buddy::assignment const& a) {
          return a.how == buddy::resolution::own || a.how == buddy::resolution::buddy ||
                 a.how == buddy::resolution::fetch;
        }));
  }

  [[nodiscard]] std::uint64_t host_ns(buddy::layer_plan const& plan) const noexcept {
    return plan.host_experts.empty() ? 0 : cost_.handshake_ns + plan.host_experts.size * cost_.host_expert_ns;
  }

  template <class Policy>
  [[nodiscard]] static std::uint16_t next_layer(Policy const& policy, std::uint16_t layer) noexcept {
    return static_cast<std::uint16_t>((layer + 1) % policy.shape().n_layers);
  }

  template <class Policy>
  void make_way(Policy& policy, buddy::layer_plan const& plan) {
    std::erase_if(background_, [&](pending const& p) {
      if (!buddy::gives_way(p.copy, plan) || !link_.cancel(p.ticket)) return false;
      policy.cancel(p.copy);
      ++totals_.background_cancelled;
      return true;
    });
  }

  void submit_demand(buddy::layer_plan const& plan) {
    demand_.clear();
    for (pending const& p : background_) {
      if (buddy::is_awaited(p.copy.expert, plan)) demand_.push_back({p.copy, p.ticket, true, {}});
    }
    for (buddy::expert_copy const& c : plan.fetches) {
      buddy::ticket const t = link_.submit(c);
      BUDDY_ASSERT(t != buddy::no_ticket);  // the queue holds more than the background and one token's experts
      demand_.push_back({c, t, false, {}});
    }
  }

  /// The policy was told how many of them the link takes.
  void submit_background(buddy::view<buddy::expert_copy const> copies) {
    for (buddy::expert_copy const& c : copies) {
      BUDDY_ASSERT(background_.size() < background_limit);
      background_.push_back({c, link_.submit(c), true, {}});
    }
  }

  template <class Policy>
  void finish_demand(Policy& policy) {
    for (pending const& p : demand_) {
      if (p.in_background) continue;
      policy.commit(p.copy);
      count_bytes(p.copy);
      if (drawn_ != nullptr) drawn_->add(copy_span(p));
    }
  }

  /// Tells the policy which background copies have arrived.
  template <class Policy>
  void settle(Policy& policy) {
    auto const arrived = [&](pending const& p) {
      if (!link_.done(p.ticket)) return false;
      policy.commit(p.copy);
      count_bytes(p.copy);
      if (drawn_ != nullptr) drawn_->add(copy_span(p));
      return true;
    };
    background_.erase(std::remove_if(background_.begin(), background_.end(), arrived), background_.end());
  }

  /// Cancellations are over for this layer, so the link's schedule stands until the next one's.
  void note_times(std::uint16_t layer) noexcept {
    drawn_->begin_layer(layer);
    auto const note = [this](pending& p) {
      if (auto const t = link_.times(p.ticket)) p.times = *t;
    };
    std::for_each(background_.begin(), background_.end(), note);
    std::for_each(demand_.begin(), demand_.end(), note);
  }

  [[nodiscard]] static timeline_span copy_span(pending const& p) noexcept {
    return {p.times.start_ns,     p.times.end_ns, span_kind::copy, p.copy.expert.layer,
            p.copy.expert.expert, p.copy.why,     p.copy.bytes};
  }

  /// The layer and its parts; the last expert to arrive is computed after the wait for it.
  void draw(std::uint16_t layer, layer_times const& t) noexcept {
    std::uint64_t const rest_end = layer_began_ns_ + cost_.rest_ns;
    std::uint64_t const host_end = t.start_ns + t.host_ns;
    std::uint64_t const all_end = std::max(t.end_ns, host_end);
    std::uint64_t const waited = t.end_ns - t.computed_ns;
    std::uint64_t const paused = waited == 0 ? t.end_ns : t.computed_ns - cost_.expert_ns;
    auto const part = [&](span_kind kind, std::uint64_t begin, std::uint64_t end) {
      if (begin < end) drawn_->add({begin, end, kind, layer});
    };
    part(span_kind::layer, layer_began_ns_, all_end);
    part(span_kind::rest, layer_began_ns_, rest_end);
    part(span_kind::resolve, rest_end, t.start_ns);
    part(span_kind::experts, t.start_ns, paused);
    part(span_kind::stall, paused, paused + waited);
    part(span_kind::experts, paused + waited, t.end_ns);
    part(span_kind::stall, t.end_ns, host_end);
    part(span_kind::host, t.start_ns, host_end);
  }

  void count_bytes(buddy::expert_copy const& c) noexcept {
    totals_.link_bytes[static_cast<std::size_t>(c.why)] += c.bytes;
  }

  void account(std::uint32_t top_k) noexcept {
    std::uint64_t const took = link_.now_ns() - layer_began_ns_;
    std::uint64_t const resident = cost_.rest_ns + cost_.resolve_ns + top_k * cost_.expert_ns;
    ++totals_.layers;
    totals_.elapsed_ns += took;
    totals_.stall_ns += took > resident ? took - resident : 0;  // a layer that drops experts may take less
  }

  layer_cost cost_;
  buddy::transfer::sim_link link_;
  std::vector<pending> background_;  // in the order of submission
  std::vector<pending> demand_;      // what this layer waits for
  clock_totals totals_;
  std::uint64_t layer_began_ns_{};
  std::uint64_t computed_alone_ns_{};  // of the layer before, when nobody waited for the link
  double link_bytes_per_ns_;
  timeline* drawn_;
};

}  // namespace harness
