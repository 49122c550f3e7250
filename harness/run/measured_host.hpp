// SPDX-License-Identifier: Apache-2.0
/// @file
/// Plans carried out over a real link, and charged by the model beside it.
#pragma once

#include "harness/run/link_host.hpp"
#include "harness/sim/offload_clock.hpp"

#include <buddy/layer_plan.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstdint>

namespace harness {

/// What `offload_clock` takes for the policy: it hears nothing, and says what the policy has said to the real link.
class overheard_policy {
 public:
  explicit overheard_policy(buddy::model_shape const& shape) : shape_{shape} {}

  [[nodiscard]] buddy::model_shape const& shape() const noexcept { return shape_; }
  void background_bytes(std::uint64_t) noexcept {}
  void background_room(std::uint32_t n) noexcept { room_ = n; }
  void commit(buddy::expert_copy const&) noexcept {}
  void cancel(buddy::expert_copy const&) noexcept {}
  [[nodiscard]] buddy::view<buddy::expert_copy const> prefetch(std::uint16_t) const noexcept { return prefetched_; }

  /// The same plan with as many background copies as the modelled link has room for: it may lag behind the real one.
  [[nodiscard]] buddy::layer_plan overhear(buddy::layer_plan plan,
                                           buddy::view<buddy::expert_copy const> prefetched) noexcept {
    plan.refills = plan.refills.part(0, std::min(plan.refills.size, room_));
    prefetched_ = prefetched.part(0, std::min(prefetched.size, room_ - plan.refills.size));
    return plan;
  }

 private:
  buddy::model_shape shape_;
  std::uint32_t room_{};
  buddy::view<buddy::expert_copy const> prefetched_;
};

/// The host engine of a device. The real link alone drives the policy; the modelled clock charges the plans that came
/// of it, so that both tell of the same misses.
template <class Link>
class measured_host {
 public:
  measured_host(link_host<Link>& real, offload_clock& modelled, buddy::model_shape const& shape)
      : real_{&real}, modelled_{&modelled}, overheard_{shape} {}

  template <class Policy>
  void begin_layer(Policy& policy) {
    real_->begin_layer(policy);
    modelled_->begin_layer(overheard_);
  }

  template <class Policy>
  void run_layer(Policy& policy, buddy::layer_plan const& plan) {
    real_->run_layer(policy, plan);
    modelled_->run_layer(overheard_, overheard_.overhear(plan, real_->prefetched()));
  }

  [[nodiscard]] buddy::slot_id slot_of(buddy::assignment const& a) const noexcept { return real_->slot_of(a); }

 private:
  link_host<Link>* real_;
  offload_clock* modelled_;
  overheard_policy overheard_;
};

}  // namespace harness
