// SPDX-License-Identifier: Apache-2.0
/// @file
/// First in, first out: what is left of LRU when hits count for nothing.
///
/// Source: textbook. Differs from it: nothing.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/policies/eviction/recency_list.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <string_view>

namespace buddy::inline v0::eviction {

/// Gives up the slot that was filled longest ago.
///
/// Memory: 8 bytes a slot. Time: O(1); `victim` O(1 + slots it must pass over).
class fifo {
 public:
  static constexpr std::string_view name = "fifo";

  explicit fifo(std::size_t capacity) : order_(capacity) {}

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key) noexcept { order_.push_newest(s); }
  void on_hit(slot_id) noexcept {}
  void on_erase(slot_id s) noexcept { order_.erase(s); }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    return order_.oldest_that(may_leave);
  }

 private:
  detail::recency_list order_;
};

static_assert(eviction_policy<fifo>);

}  // namespace buddy::inline v0::eviction
