// SPDX-License-Identifier: Apache-2.0
/// @file
/// Between the decoder and the policy: each layer's routing becomes a plan, the plan becomes experts to run and time.
#pragma once

#include "harness/fidelity/served_stand_ins.hpp"
#include "harness/model/cpu/decoder.hpp"
#include "harness/run/early_router.hpp"

#include <buddy/counters.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/trace_recorder.hpp>
#include <buddy/types.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace harness {

/// What a decoder calls at every layer.
/// @tparam Host  carries a plan out: `begin_layer(policy)`, `run_layer(policy, plan)`, and, where experts are in slots
/// of
///   a device, `slot_of(assignment)`: an `offload_clock` or a `link_host`
template <class Policy, class Host>
class policy_moe {
 public:
  /// @param recorder  writes down what runs: what the router chose, or chose early; may be null
  policy_moe(Policy& policy, Host& host, buddy::trace_recorder* recorder)
      : policy_{&policy}, host_{&host}, recorder_{recorder} {}

  /// From now on routers decide layers before their own, see `early_router`.
  void route_ahead(early_router router) { early_router_ = std::move(router); }

  /// From now on what stands in is computed with these. @param all  must outlive this
  void serve(served_stand_ins const& all) noexcept { stand_ins_ = &all; }

  void begin_sequence() noexcept {
    policy_->begin_sequence();
    if (recorder_ != nullptr) recorder_->begin_sequence();
  }

  /// A token begins.
  void begin_step() {
    policy_->begin_step(buddy::phase::decode);
    if (recorder_ != nullptr) recorder_->begin_step(1);
  }

  /// The experts run in the router's order, so that a policy that changes none gives the same bits as none.
  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) {
    host_->begin_layer(*policy_);
    buddy::routing r{of(routed.experts), of(routed.weights),      of(routed.probabilities), 1,
                     of(input),          {&routed.hidden_norm, 1}};
    if (early_router_) r = early_router_->commit(layer, r);
    if (recorder_ != nullptr) recorder_->record(layer, {r.experts, r.weights, {}, 1});
    plan_ = &policy_->resolve(layer, r);
    host_->run_layer(*policy_, *plan_);
    std::size_t n = 0;
    for (buddy::assignment const& a : plan_->assignments) uses_[n++] = {a.expert, a.weight, slot_of(a), is_replaced(a)};
    return {uses_.data(), n};
  }

  /// @pre `serves`, or no plan names a surrogate or a low-precision copy
  void add_stand_in(std::uint16_t layer, expert_use const& use, std::span<float const> input,
                    std::span<float> sum) const noexcept {
    stand_ins_->add(layer, use, input, sum);
  }
  [[nodiscard]] bool serves() const noexcept { return stand_ins_ != nullptr; }

  [[nodiscard]] Policy& policy() noexcept { return *policy_; }
  /// Of the layer that was resolved last.
  [[nodiscard]] buddy::layer_plan const& plan() const noexcept { return *plan_; }

 private:
  [[nodiscard]] static bool is_replaced(buddy::assignment const& a) noexcept {
    return a.how == buddy::resolution::surrogate || a.how == buddy::resolution::low_precision;
  }

  template <class T>
  static buddy::view<T const> of(std::span<T const> x) {
    return {x.data(), static_cast<std::uint32_t>(x.size())};
  }

  [[nodiscard]] buddy::slot_id slot_of(buddy::assignment const& a) const noexcept {
    if constexpr (requires { host_->slot_of(a); })
      return host_->slot_of(a);
    else
      return a.slot;
  }

  Policy* policy_;
  Host* host_;
  buddy::trace_recorder* recorder_;
  std::optional<early_router> early_router_;
  buddy::layer_plan const* plan_ = nullptr;
  served_stand_ins const* stand_ins_ = nullptr;
  std::array<expert_use, buddy::max_top_k> uses_{};
};

}  // namespace harness
