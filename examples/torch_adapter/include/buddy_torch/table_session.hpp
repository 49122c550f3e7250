// SPDX-License-Identifier: Apache-2.0
/// @file
/// Decisions on the device, from a table of residents that a policy on the host updates one step later: no layer waits.
#pragma once

#include <buddy/types.hpp>

#include <ATen/ATen.h>
#include <buddy_torch/any_policy.hpp>
#include <buddy_torch/expert_store.hpp>
#include <buddy_torch/resolve_on_tensors.hpp>
#include <buddy_torch/resolve_options.hpp>
#include <buddy_torch/resolve_rows.hpp>
#include <buddy_torch/routed_batch.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace buddy::inline v0::torch {

/// The operator that decides: `resolve_on_tensors`, or what the loadable library has for the device.
using resolve_function = std::function<resolved_tensors(routing_tensors const&, resolve_options const&)>;

/// Shared by the layers of one model. The host only starts work: what a layer asked for comes to the policy when it has
/// arrived in host memory, at the beginning of a later step; the copies it then plans go in the background.
///
/// A miss of the present step gets a stand-in or is left out, whatever the policy would have fetched. Not thread-safe.
class table_session {
 public:
  /// @param policy   decides who is resident; may be warm
  /// @param options  decide what happens to a miss; `on_refused` must be `drop`
  /// @throws c10::ValueError
  table_session(any_policy policy, std::shared_ptr<ExpertStore> store, resolve_options const& options,
                resolve_function resolve = resolve_on_tensors)
      : policy_{std::move(policy)},
        store_{std::move(store)},
        options_{options},
        resolve_{std::move(resolve)},
        who_(policy_.capacity(), no_expert),
        asked_(policy_.shape().n_layers) {
    auto const& shape = policy_.shape();
    TORCH_CHECK_VALUE(options.on_refused == resolution::drop && !options.exact,
                      "buddy::table_session: on_refused must be drop: the device cannot wait for a copy");
    TORCH_CHECK_VALUE(store_->n_slots() >= static_cast<std::int64_t>(policy_.capacity()),
                      "buddy::table_session: the store has ", store_->n_slots(), " slots, but the policy's cache ",
                      policy_.capacity());
    table_ = at::full({shape.n_layers, shape.n_experts}, -1, at::TensorOptions(store_->device()).dtype(at::kInt));
    for (std::uint16_t l = 0; l != shape.n_layers; ++l)
      for (std::uint16_t e = 0; e != shape.n_experts; ++e)
        if (slot_id const s = policy_.residents(l)[e]; s != no_slot) enter_warm({l, e}, s);
  }

  [[nodiscard]] any_policy& policy() noexcept { return policy_; }
  [[nodiscard]] ExpertStore& store() noexcept { return *store_; }
  /// [n_layers, n_experts] int32 on the device
  [[nodiscard]] at::Tensor const& table() const noexcept { return table_; }

  /// A forward pass begins: publishes what has arrived, and lets the policy see what an earlier pass asked for.
  void begin_step() {
    publish();
    if (!all_arrived()) return;  // the device is more than a step behind: nothing is lost by looking later
    policy_.begin_step(phase::decode);
    for (std::uint16_t l = 0; l != asked_.size(); ++l) {
      if (!asked_[l].ids.defined()) continue;
      plan_copies(l);
      asked_[l] = {};
    }
  }

  /// @param weights  [n_tokens, top_k]   @param ids  as of `topk`   @param scores  [n_tokens, n_experts]
  /// @param x        [n_tokens, hidden]
  /// @returns        [n_tokens, hidden]
  [[nodiscard]] at::Tensor run(std::uint16_t layer, routing_tensors routing, at::Tensor const& x) {
    routing.slot_of = table_[layer];
    auto const r = resolve_(routing, options_);
    remember(layer, routing);
    auto const k = routing.top_k();
    auto const slots = r.slots.clamp_min(0).reshape({-1}).to(at::kLong);
    auto const weights = r.weights.masked_fill(r.slots.lt(0), 0.0).reshape({-1, 1}).to(x.scalar_type());
    auto const y = at::empty({x.size(0) * k, x.size(1)}, x.options());
    auto const rows = at::arange(x.size(0) * k, slots.options()).floor_divide(k);
    constexpr std::int64_t at_once = 32;  // records gathered at a time: so much memory is needed beside the slots
    for (std::int64_t i = 0; i < y.size(0); i += at_once) {
      auto const n = std::min(at_once, y.size(0) - i);
      y.narrow(0, i, n).copy_(experts_of(slots.narrow(0, i, n), x.index_select(0, rows.narrow(0, i, n))));
    }
    return (y * weights).view({x.size(0), k, x.size(1)}).sum(1);
  }

 private:
  static constexpr expert_key no_expert{0xffff, 0xffff};

  /// What one layer asked for, on its way to host memory.
  struct asked {
    at::Tensor ids, weights, scores;
    copy_ticket ticket;
  };
  struct pending {
    expert_copy copy;
    copy_ticket ticket;
  };

  void enter_warm(expert_key k, slot_id s) {
    store_->stream().follow(store_->fetch(k, s));
    who_[static_cast<std::size_t>(s)] = k;
    table_[k.layer][k.expert].fill_(static_cast<std::int64_t>(s));
  }

  /// Only when the bytes are there, and ordered before whatever the device is given from now on.
  void publish() {
    while (!pending_.empty() && pending_.front().ticket.done()) {
      auto const& c = pending_.front().copy;
      store_->stream().follow(pending_.front().ticket);
      table_[c.expert.layer][c.expert.expert].fill_(static_cast<std::int64_t>(c.slot));
      policy_.commit(c);
      pending_.pop_front();
    }
  }

  void remember(std::uint16_t layer, routing_tensors const& r) {
    auto const host = [&](at::Tensor const& t, at::ScalarType type) {
      bool const pinned = !t.device().is_cpu();
      return at::empty(t.sizes(), at::TensorOptions(at::kCPU).dtype(type).pinned_memory(pinned));
    };
    asked a{host(r.ids, at::kLong), host(r.weights, at::kFloat), host(r.scores, at::kFloat), {}};
    static_cast<void>(store_->stream().copy(a.ids, r.ids));
    static_cast<void>(store_->stream().copy(a.weights, r.weights.to(at::kFloat)));
    a.ticket = store_->stream().copy(a.scores, r.scores.to(at::kFloat));  // the last of three on one stream
    asked_[layer] = std::move(a);
  }

  [[nodiscard]] bool all_arrived() const {
    return std::all_of(asked_.begin(), asked_.end(), [](asked const& a) { return a.ticket.done(); });
  }

  /// The policy sees the layer as it was; what it would fetch or refill is copied now.
  void plan_copies(std::uint16_t layer) {
    asked const& a = asked_[layer];
    routed_batch batch{static_cast<std::uint32_t>(a.ids.size(0)), {}, {}, a.scores, {}};
    auto const* const ids = a.ids.data_ptr<std::int64_t>();
    auto const* const weights = a.weights.data_ptr<float>();
    batch.experts.assign(ids, ids + a.ids.numel());
    batch.weights.assign(weights, weights + a.weights.numel());
    auto const& plan = policy_.resolve(layer, batch.routing());
    for (expert_copy const& c : plan.fetches) begin(c);
    for (expert_copy const& c : plan.refills) begin(c);
  }

  /// First nobody finds the old expert any more, then the bytes move, behind all that was still reading.
  void begin(expert_copy const& c) {
    if (c.slot == no_slot) return;
    auto& who = who_[static_cast<std::size_t>(c.slot)];
    if (who != no_expert) table_[who.layer][who.expert].fill_(-1);
    who = c.expert;
    pending_.push_back({c, store_->fetch(c.expert, c.slot)});
  }

  /// @param slots  [n]   @param x  [n, hidden]   @returns [n, hidden]
  [[nodiscard]] at::Tensor experts_of(at::Tensor const& slots, at::Tensor const& x) const {
    auto const& s = store_->sizes();
    auto const records = store_->slots().index_select(0, slots);
    auto const gate_up = records.narrow(1, 0, 2 * s.width * s.hidden).view({-1, 2 * s.width, s.hidden});
    auto const down = records.narrow(1, 2 * s.width * s.hidden, s.width * s.hidden).view({-1, s.hidden, s.width});
    auto const inner = at::matmul(gate_up, x.unsqueeze(-1)).chunk(2, 1);
    return at::matmul(down, at::silu(inner[0]) * inner[1]).squeeze(-1);
  }

  any_policy policy_;
  std::shared_ptr<ExpertStore> store_;
  resolve_options options_;
  resolve_function resolve_;
  std::vector<expert_key> who_;  // [slots] whose bytes lie there, or are on their way
  std::vector<asked> asked_;     // [n_layers]
  std::deque<pending> pending_;
  at::Tensor table_;
};

}  // namespace buddy::inline v0::torch
