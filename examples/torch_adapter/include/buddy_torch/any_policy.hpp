// SPDX-License-Identifier: Apache-2.0
/// @file
/// Any composed policy behind one type, so that a module need not be a template.
#pragma once

#include <buddy/counters.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policy_config.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace buddy::inline v0::torch {

/// Owns a `buddy::policy` of whatever components. One virtual call a layer, beside which a single operation of LibTorch
/// takes long; within the policy there are none.
class any_policy {
 public:
  template <class Policy>
    requires(!std::same_as<std::remove_cvref_t<Policy>, any_policy>)
  explicit any_policy(Policy policy) : held_{std::make_unique<holder<Policy>>(std::move(policy))} {}

  [[nodiscard]] model_shape const& shape() const { return held_->shape(); }
  [[nodiscard]] policy_config const& config() const { return held_->config(); }
  /// Slots of the cache.
  [[nodiscard]] std::size_t capacity() const { return held_->capacity(); }
  [[nodiscard]] layer_counters total(phase p = phase::decode) const { return held_->total(p); }

  void begin_sequence() { held_->begin_sequence(); }
  void begin_step(phase p) { held_->begin_step(p); }
  layer_plan const& resolve(std::uint16_t layer, routing const& r) { return held_->resolve(layer, r); }
  [[nodiscard]] view<expert_copy const> prefetch(std::uint16_t layer) { return held_->prefetch(layer); }
  void commit(expert_copy const& c) { held_->commit(c); }
  void background_room(std::uint32_t n) { held_->background_room(n); }
  [[nodiscard]] view<slot_id const> residents(std::uint16_t layer) const { return held_->residents(layer); }

 private:
  struct holds {
    virtual ~holds() = default;
    [[nodiscard]] virtual model_shape const& shape() const = 0;
    [[nodiscard]] virtual policy_config const& config() const = 0;
    [[nodiscard]] virtual std::size_t capacity() const = 0;
    [[nodiscard]] virtual layer_counters total(phase p) const = 0;
    virtual void begin_sequence() = 0;
    virtual void begin_step(phase p) = 0;
    virtual layer_plan const& resolve(std::uint16_t layer, routing const& r) = 0;
    virtual view<expert_copy const> prefetch(std::uint16_t layer) = 0;
    virtual void commit(expert_copy const& c) = 0;
    virtual void background_room(std::uint32_t n) = 0;
    [[nodiscard]] virtual view<slot_id const> residents(std::uint16_t layer) const = 0;
  };

  template <class Policy>
  struct holder final : holds {
    explicit holder(Policy p) : policy{std::move(p)} {}
    [[nodiscard]] model_shape const& shape() const override { return policy.shape(); }
    [[nodiscard]] policy_config const& config() const override { return policy.config(); }
    [[nodiscard]] std::size_t capacity() const override { return policy.cache().capacity(); }
    [[nodiscard]] layer_counters total(phase p) const override { return policy.total(p); }
    void begin_sequence() override { policy.begin_sequence(); }
    void begin_step(phase p) override { policy.begin_step(p); }
    layer_plan const& resolve(std::uint16_t layer, routing const& r) override { return policy.resolve(layer, r); }
    view<expert_copy const> prefetch(std::uint16_t layer) override { return policy.prefetch(layer); }
    void commit(expert_copy const& c) override { policy.commit(c); }
    void background_room(std::uint32_t n) override { policy.background_room(n); }
    [[nodiscard]] view<slot_id const> residents(std::uint16_t layer) const override {
      return policy.cache().residents(layer);
    }
    Policy policy;
  };

  std::unique_ptr<holds> held_;
};

}  // namespace buddy::inline v0::torch
