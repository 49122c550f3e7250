// SPDX-License-Identifier: Apache-2.0
/// @file
/// The bound: what a policy that knows the future reaches.
///
/// Source: Belady, IBM Systems Journal 5(2), 1966 (MIN). Differs from it: a layer's batch is asked for at once, and
/// everything that was asked for enters.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/policies/eviction/known_future.hpp>
#include <buddy/policies/eviction/slot_experts.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the slot whose expert is asked for again last; ties go to the lower (layer, expert).
///
/// No policy gets more hits from a pool that layers share or from one of a single layer, as long as every miss enters,
/// nothing is prefetched, records have one size, and no batch has more experts than its pool has slots. The run must be
/// the one foretold: `on_step` tells the time, and its steps and layers must be those of the `known_future`.
/// Memory: 12 bytes a slot. Time: O(1) for `on_step` and `on_erase`; `on_insert` and `on_hit` O(log uses of the
/// expert); `victim` O(capacity).
class belady {
 public:
  static constexpr std::string_view name = "belady";

  /// @param future  must outlive the policy
  belady(std::size_t capacity, known_future const& future)
      : experts_(capacity), next_use_(capacity), future_(&future) {}
  belady(std::size_t, known_future const&&) = delete;

  void on_step(step_clock const& now) noexcept { now_ = future_->instant(now.step, now.layer); }
  void on_insert(slot_id s, expert_key k) noexcept {
    experts_.set(s, k);
    on_hit(s);
  }
  void on_hit(slot_id s) noexcept { next_use_[static_cast<std::size_t>(s)] = future_->next_use(experts_[s], now_); }
  void on_erase(slot_id s) noexcept { experts_.clear(s); }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    return experts_.first([this](slot_id a, slot_id b) noexcept { return leaves_before(a, b); }, may_leave);
  }

 private:
  /// An expert that was foretold and yet not asked for has its next use in the past: look further.
  [[nodiscard]] std::uint64_t next_use(slot_id s) const noexcept {
    std::uint64_t const known = next_use_[static_cast<std::size_t>(s)];
    return known > now_ ? known : future_->next_use(experts_[s], now_);
  }
  [[nodiscard]] bool leaves_before(slot_id a, slot_id b) const noexcept {
    std::uint64_t const next_a = next_use(a);
    std::uint64_t const next_b = next_use(b);
    return next_a != next_b ? next_a > next_b : experts_[a] < experts_[b];
  }

  detail::slot_experts experts_;
  std::vector<std::uint64_t> next_use_;  // [capacity] instant, as of the last access
  known_future const* future_;
  std::uint64_t now_ = 0;
};

static_assert(eviction_policy<belady>);

}  // namespace buddy::inline v0::eviction
