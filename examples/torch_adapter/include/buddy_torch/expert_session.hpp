// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the layers of one model share: the policy, the store, and where in the step the model is.
#pragma once

#include <buddy/layer_plan.hpp>
#include <buddy/types.hpp>

#include <ATen/ATen.h>
#include <buddy_torch/any_policy.hpp>
#include <buddy_torch/expert_runner.hpp>
#include <buddy_torch/expert_store.hpp>
#include <buddy_torch/routed_batch.hpp>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

namespace buddy::inline v0::torch {

/// Turns the routing of one layer after the other into the outputs of experts. One a decoding thread; not thread-safe.
class expert_session {
 public:
  /// @param policy  may be warm: what its cache says is resident is copied into the slots here
  /// @param store   every expert is in its master by now
  /// @throws c10::ValueError when policy and store were made for different sizes
  expert_session(any_policy policy, std::shared_ptr<ExpertStore> store, row_math math = row_math::fastest)
      : policy_{std::move(policy)},
        store_{std::move(store)},
        runner_{checked(policy_, *store_, math), math},
        math_{math} {
    for (std::uint16_t l = 0; l != policy_.shape().n_layers; ++l) {
      auto const residents = policy_.residents(l);
      for (std::uint16_t e = 0; e != residents.size; ++e)
        if (residents[e] != no_slot) store_->stream().follow(store_->fetch({l, e}, residents[e]));
    }
  }

  [[nodiscard]] any_policy& policy() noexcept { return policy_; }
  [[nodiscard]] any_policy const& policy() const noexcept { return policy_; }
  [[nodiscard]] ExpertStore& store() noexcept { return *store_; }
  [[nodiscard]] ExpertStore const& store() const noexcept { return *store_; }
  [[nodiscard]] row_math math() const noexcept { return math_; }
  /// The last layer's decision, valid until the next one.
  [[nodiscard]] layer_plan const& plan() const noexcept { return plan_; }

  void begin_sequence() { policy_.begin_sequence(); }

  /// A forward pass begins. Need not be called: a layer that does not come after the last one begins a pass by itself,
  /// of prefill when it has several tokens. A host that decodes several sequences at once says so here.
  void begin_step(phase p) {
    policy_.begin_step(p);
    next_layer_ = 0;
  }

  /// Decides, copies what the layer needs, and computes it.
  /// @param x  [n_tokens, hidden] of the store's dtype and device
  /// @returns  [n_tokens, top_k, hidden] the experts' outputs, unweighted; `plan()` has the weights
  [[nodiscard]] at::Tensor run(std::uint16_t layer, routed_batch const& batch, at::Tensor const& x) {
    TORCH_CHECK_VALUE(batch.n_tokens <= policy_.config().max_tokens, "buddy::MoE: x has ", batch.n_tokens,
                      " tokens, but the policy was made for max_tokens = ", policy_.config().max_tokens);
    enter(layer, batch.n_tokens);
    finish_background();
    plan_ = policy_.resolve(layer, batch.routing());
    for (expert_copy const& c : plan_.fetches) demand(c);
    for (expert_copy const& c : plan_.waits) follow(c.expert);
    for (expert_copy const& c : plan_.refills) background(c);
    auto y = runner_.run(plan_, x);
    std::uint32_t const next = layer + 1U;
    if (next != policy_.shape().n_layers)
      for (expert_copy const& c : policy_.prefetch(static_cast<std::uint16_t>(next))) background(c);
    return y;
  }

 private:
  struct pending {
    expert_copy copy;
    copy_ticket ticket;
  };

  static ExpertStore const& checked(any_policy const& policy, ExpertStore const& store, row_math math) {
    auto const& sizes = store.sizes();
    auto const& shape = policy.shape();
    TORCH_CHECK_VALUE(sizes.n_layers == shape.n_layers && sizes.n_experts == shape.n_experts,
                      "buddy::MoE: the store has ", sizes.n_layers, " layers of ", sizes.n_experts,
                      " experts, but the policy was made for ", shape.n_layers, " of ", shape.n_experts);
    TORCH_CHECK_VALUE(store.n_slots() >= static_cast<std::int64_t>(policy.capacity()), "buddy::MoE: the store has ",
                      store.n_slots(), " slots, but the policy's cache ", policy.capacity());
    TORCH_CHECK_VALUE(math == row_math::fastest || (store.device().is_cpu() && store.dtype() == at::kFloat),
                      "buddy::MoE: row_math::row_exact needs a store of float on the CPU");
    return store;
  }

  void enter(std::uint16_t layer, std::uint32_t n_tokens) {
    if (!next_layer_ || layer < *next_layer_) begin_step(n_tokens > 1 ? phase::prefill : phase::decode);
    next_layer_ = layer + 1U;
  }

  /// The layer needs it: what is computed from now on runs behind the copy. Without a slot the runner reads the master.
  void demand(expert_copy const& c) {
    if (c.slot == no_slot) return;
    store_->stream().follow(store_->fetch(c.expert, c.slot));
    policy_.commit(c);
  }

  /// Nobody waits for it: it is published once it has arrived.
  void background(expert_copy const& c) {
    auto ticket = store_->fetch(c.expert, c.slot);
    if (ticket.done()) return policy_.commit(c);
    pending_.push_back({c, std::move(ticket)});
  }

  void finish_background() {
    while (!pending_.empty() && pending_.front().ticket.done()) {
      policy_.commit(pending_.front().copy);
      pending_.pop_front();
    }
  }

  /// The layer needs what is under way.
  void follow(expert_key k) {
    for (auto p = pending_.begin(); p != pending_.end(); ++p) {
      if (p->copy.expert != k) continue;
      store_->stream().follow(p->ticket);
      policy_.commit(p->copy);
      pending_.erase(p);
      return;
    }
  }

  any_policy policy_;
  std::shared_ptr<ExpertStore> store_;
  expert_runner runner_;
  row_math math_;
  layer_plan plan_;
  std::deque<pending> pending_;
  std::optional<std::uint32_t> next_layer_;
};

}  // namespace buddy::inline v0::torch
