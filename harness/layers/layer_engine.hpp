// SPDX-License-Identifier: Apache-2.0
/// @file
/// The loop of an engine around a policy: what every mode runs on every machine.
#pragma once

#include "harness/layers/expert_waves.hpp"
#include "harness/layers/layer_engine_totals.hpp"
#include "harness/layers/layer_machine.hpp"
#include "harness/sim/timeline.hpp"

#include <buddy/assert.hpp>
#include <buddy/counters.hpp>
#include <buddy/giving_way.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace harness {

/// Drives a machine as a policy says: demanded copies first, background copies while nobody waits, each one ended by
/// `commit` or `cancel`; experts are computed as their records arrive, as many copies a wave as the machine likes.
/// Records that enter no cache go to spare slots, a few at a time where there are few. Takes its memory at once.
template <layer_machine Machine, class Policy>
class layer_engine {
 public:
  /// Refills and prefetches that may wait for the link or be under way: one moves, one waits.
  static constexpr std::size_t background_limit = 2;

  /// @param drawn  is told of everything that takes time; may be null
  layer_engine(Machine& machine, Policy& policy, std::uint32_t max_tokens, timeline* drawn = nullptr)
      : machine_(&machine),
        policy_(&policy),
        drawn_(drawn),
        waves_(std::size_t{max_tokens} * policy.shape().top_k),
        host_(std::size_t{max_tokens} * policy.shape().top_k) {
    BUDDY_ASSERT(machine.n_spare() != 0);
    background_.reserve(background_limit);
    demand_.reserve(policy.shape().n_experts + background_limit);
    spare_.reserve(machine.n_spare());
  }

  /// Another machine's records may lie in the slots: puts those of this policy's residents there, untimed.
  void load_residents() {
    for (buddy::expert_key const key : policy_->cache().by_worth())
      machine_->place({key, policy_->cache().slot_of(key), policy_->cache().record_bytes(key.layer)});
  }

  /// @param routing_of  buddy::routing routing_of(layer): valid until it is called again
  template <class RoutingOf>
  void step(buddy::phase phase, RoutingOf&& routing_of) {
    policy_->begin_step(phase);
    for (std::uint16_t l = 0; l != policy_->shape().n_layers; ++l) layer(l, routing_of);
    machine_->finish();
    ++totals_.steps;
  }

  /// A step that the device runs by itself, while the host follows the same routing with its own policy and refills
  /// behind it: what the device decides and what the host counts differ by experts that arrived in between.
  /// @pre the policy neither fetches nor computes on the CPU
  template <class RoutingOf>
  void step_ahead(buddy::phase phase, std::size_t step, RoutingOf&& routing_of)
    requires self_deciding_machine<Machine>
  {
    settle();
    machine_->launch_step(step);
    policy_->begin_step(phase);
    for (std::uint16_t l = 0; l != policy_->shape().n_layers; ++l) {
      policy_->background_room(static_cast<std::uint32_t>(background_limit - background_.size()));
      buddy::layer_plan const& plan = policy_->resolve(l, routing_of(l));
      BUDDY_ASSERT(plan.fetches.empty() && plan.waits.empty() && plan.host_experts.empty());
      for (buddy::expert_copy const& c : plan.refills) machine_->withdraw(c.slot);
      submit_background(plan.refills);
      settle();
    }
    machine_->finish();
    ++totals_.steps;
  }

  /// Waits for what moves in the background: nothing of this engine uses the link when it returns.
  void drain() noexcept {
    for (pending const& p : background_) {
      machine_->link().wait(p.ticket);
      end_copy(p);
    }
    background_.clear();
  }

  [[nodiscard]] engine_totals const& totals() const noexcept { return totals_; }

 private:
  struct pending {
    buddy::expert_copy copy;
    buddy::ticket ticket{buddy::no_ticket};
    bool in_background{};  ///< submitted by a prefetch or a refill, and ended as such
    bool staged{};         ///< in a spare slot, which no cache knows
    std::uint64_t begin_ns{};
    std::uint64_t end_ns{};
  };

  template <class RoutingOf>
  void layer(std::uint16_t l, RoutingOf& routing_of) {
    if (drawn_ != nullptr) drawn_->begin_layer(l);
    std::uint64_t const began = machine_->now_ns();
    buddy::routing const routing = routing_of(l);
    bool const was_idle = background_.empty();
    machine_->rest(l, routing.n_tokens);
    std::uint64_t const rest_end = machine_->now_ns();
    policy_->background_bytes(machine_->link_bytes(was_idle ? rest_end - began + computed_alone_ns_ : 0));
    settle();
    policy_->background_room(static_cast<std::uint32_t>(background_limit - background_.size()));
    buddy::layer_plan const& plan = policy_->resolve(l, routing);
    machine_->decided();
    std::uint64_t const start = machine_->now_ns();
    compute(plan);
    settle();
    if (drawn_ == nullptr) return;
    draw(span_kind::layer, l, began, machine_->now_ns());
    draw(span_kind::rest, l, began, rest_end);
    draw(span_kind::resolve, l, rest_end, start);
  }

  void compute(buddy::layer_plan const& plan) {
    std::uint64_t const start = machine_->now_ns();
    list_host(plan);
    make_way(plan);
    list_demand(plan);
    submit_demand();
    machine_->host_begin({plan.layer, plan.n_tokens, {host_.data(), n_host_}, plan.host_experts.size});
    submit_background(plan.refills);
    submit_background(policy_->prefetch(static_cast<std::uint16_t>((plan.layer + 1) % policy_->shape().n_layers)));
    if (drawn_ != nullptr) note_times();
    fetch_and_compute(plan);
    auto const device_end = machine_->now_ns();
    machine_->host_end();
    computed_alone_ns_ = demand_.empty() ? device_end - start : 0;
    if (drawn_ == nullptr || n_host_ == 0) return;
    draw(span_kind::host, plan.layer, start, machine_->now_ns());
    draw(span_kind::stall, plan.layer, device_end, machine_->now_ns());
  }

  void list_host(buddy::layer_plan const& plan) noexcept {
    n_host_ = 0;
    for (std::uint32_t i = 0; i != plan.assignments.size; ++i) {
      buddy::assignment const& a = plan.assignments[i];
      if (a.how == buddy::resolution::host)
        host_[n_host_++] = {a.expert, static_cast<std::uint16_t>(i / plan.top_k), a.weight};
    }
  }

  void make_way(buddy::layer_plan const& plan) {
    std::erase_if(background_, [&](pending const& p) {
      if (!buddy::gives_way(p.copy, plan) || !machine_->link().cancel(p.ticket)) return false;
      policy_->cancel(p.copy);
      ++totals_.background_cancelled;
      return true;
    });
  }

  void list_demand(buddy::layer_plan const& plan) {
    demand_.clear();
    n_submitted_ = 0;
    for (pending const& p : background_)
      if (buddy::is_awaited(p.copy.expert, plan)) demand_.push_back(p);
    n_submitted_ = demand_.size();
    for (buddy::expert_copy const& c : plan.fetches)
      demand_.push_back({c, buddy::no_ticket, false, c.slot == buddy::no_slot, 0, 0});
    free_spares();
  }

  void free_spares() noexcept {
    spare_.clear();
    for (std::uint32_t i = std::min(machine_->n_spare(), policy_->shape().n_experts + 0U); i != 0; --i)
      spare_.push_back(buddy::slot_id{machine_->n_slots() + i - 1});
  }

  void submit_demand() noexcept {  // in order, as far as there are slots
    for (; n_submitted_ != demand_.size(); ++n_submitted_) {
      pending& p = demand_[n_submitted_];
      if (p.staged) {
        if (spare_.empty()) return;
        p.copy.slot = spare_.back();
        spare_.pop_back();
      }
      p.begin_ns = machine_->now_ns();
      p.ticket = machine_->link().submit(p.copy);
      BUDDY_ASSERT(p.ticket != buddy::no_ticket);  // the queue holds more than the background and one layer's experts
    }
  }

  /// The policy was told how many of them the link takes.
  void submit_background(buddy::view<buddy::expert_copy const> copies) noexcept {
    for (buddy::expert_copy const& c : copies) {
      BUDDY_ASSERT(background_.size() < background_limit);
      background_.push_back({c, machine_->link().submit(c), true, false, machine_->now_ns(), 0});
    }
  }

  /// Waves: those that are resident, then those that arrive; all at once where the machine likes to wait for all.
  void fetch_and_compute(buddy::layer_plan const& plan) {
    std::uint32_t const per_wave = machine_->copies_per_wave();
    waves_.begin(plan);
    std::uint32_t arrived = 0;
    std::size_t wave_begin = 0;
    if (demand_.size() > per_wave || per_wave == 1) send_wave(plan);
    for (std::size_t i = 0; i != demand_.size(); ++i) {
      bool const no_room = i + 1 == n_submitted_ && n_submitted_ != demand_.size();
      await(plan, demand_[i]);
      if (++arrived < per_wave && i + 1 != demand_.size() && !no_room) continue;
      send_wave(plan);
      for (; wave_begin != i + 1; ++wave_begin)
        if (demand_[wave_begin].staged) spare_.push_back(demand_[wave_begin].copy.slot);
      arrived = 0;
      submit_demand();
    }
    send_wave(plan);
  }

  void await(buddy::layer_plan const& plan, pending& p) {
    std::uint64_t const began = machine_->now_ns();
    machine_->link().wait(p.ticket);
    if (drawn_ != nullptr) draw(span_kind::stall, plan.layer, began, machine_->now_ns());
    if (!p.in_background) end_copy(p);  // else `settle` does
    waves_.add(p.copy);
  }

  void send_wave(buddy::layer_plan const& plan) {
    auto const began = machine_->now_ns();
    if (waves_.pending()) waves_.send(*machine_);
    if (drawn_ != nullptr) draw(span_kind::experts, plan.layer, began, machine_->now_ns());
  }

  /// Tells the policy which background copies have arrived.
  void settle() noexcept {
    std::erase_if(background_, [this](pending const& p) {
      if (!machine_->link().done(p.ticket)) return false;
      end_copy(p);
      return true;
    });
  }

  void end_copy(pending const& p) noexcept {
    if (!p.staged) policy_->commit(p.copy);
    if constexpr (self_deciding_machine<Machine>)
      if (!p.staged) machine_->publish(p.copy);
    totals_.link_bytes[static_cast<std::size_t>(p.copy.why)] += p.copy.bytes;
    if (drawn_ != nullptr) draw_copy(p);
  }

  /// A link that knows when its copies move says so; of another only submission and arrival are seen.
  void note_times() noexcept {
    if constexpr (requires(buddy::ticket t) { machine_->link().times(t); }) {
      auto const note = [this](pending& p) {
        if (auto const t = machine_->link().times(p.ticket)) p.begin_ns = t->start_ns, p.end_ns = t->end_ns;
      };
      std::for_each(background_.begin(), background_.end(), note);
      std::for_each(demand_.begin(), demand_.end(), note);
    }
  }

  /// One after the other, as the link works.
  void draw_copy(pending const& p) noexcept {
    std::uint64_t const end = p.end_ns != 0 ? p.end_ns : machine_->now_ns();
    std::uint64_t const begin = std::max(p.begin_ns, drawn_until_ns_);
    if (begin >= end) return;
    drawn_until_ns_ = end;
    drawn_->add({begin, end, span_kind::copy, p.copy.expert.layer, p.copy.expert.expert, p.copy.why, p.copy.bytes});
  }

  void draw(span_kind kind, std::uint16_t layer, std::uint64_t begin, std::uint64_t end) noexcept {
    if (begin < end) drawn_->add({begin, end, kind, layer});
  }
  Machine* machine_;
  Policy* policy_;
  timeline* drawn_;
  expert_waves waves_;
  std::vector<buddy::host::mail_entry> host_;  // [n_host_]
  std::uint32_t n_host_{};
  std::vector<pending> background_;    // in the order of submission
  std::vector<pending> demand_;        // what this layer waits for
  std::size_t n_submitted_{};          // of `demand_`
  std::vector<buddy::slot_id> spare_;  // free ones
  std::uint64_t computed_alone_ns_{};  // of the layer before, when nobody waited for the link
  std::uint64_t drawn_until_ns_{};
  engine_totals totals_;
};

}  // namespace harness
