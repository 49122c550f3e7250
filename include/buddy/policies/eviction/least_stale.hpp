// SPDX-License-Identifier: Apache-2.0
/// @file
/// What this step has not asked for leaves first, in the order in which it came.
///
/// Source: Least-Stale of SpecMD (speculative expert caching), as tinyserve has it. Differs from it: a step of the
/// model stands for a token.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/policies/eviction/recency_list.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the slot filled longest ago among those not used in this step, then among the others.
///
/// A step makes every slot stale; an access makes one fresh. Memory: 16 bytes a slot. Time: O(1); `victim` O(1 + slots
/// it must pass over).
class least_stale {
 public:
  static constexpr std::string_view name = "least_stale";

  explicit least_stale(std::size_t capacity) : order_(capacity), last_step_(capacity) {}

  void on_step(step_clock const& now) noexcept { step_ = now.step; }
  void on_insert(slot_id s, expert_key) noexcept {
    order_.push_newest(s);
    on_hit(s);
  }
  void on_hit(slot_id s) noexcept { last_step_[static_cast<std::size_t>(s)] = step_; }
  void on_erase(slot_id s) noexcept { order_.erase(s); }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id const stale = order_.oldest_that(
        [&](slot_id s) noexcept { return last_step_[static_cast<std::size_t>(s)] != step_ && may_leave(s); });
    return stale != no_slot ? stale : order_.oldest_that(may_leave);
  }

 private:
  detail::recency_list order_;            // by insertion
  std::vector<std::uint64_t> last_step_;  // [capacity] step of the last use
  std::uint64_t step_ = 0;
};

static_assert(eviction_policy<least_stale>);

}  // namespace buddy::inline v0::eviction
