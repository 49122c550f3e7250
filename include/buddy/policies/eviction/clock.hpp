// SPDX-License-Identifier: Apache-2.0
/// @file
/// FIFO that gives a second chance to what was asked for again.
///
/// Source: Corbato, "A paging experiment with the Multics system", 1969 (CLOCK). Differs from it: `victim` only looks
/// ahead; the hand moves, and clears the marks that it passes, when the slot is erased. So it also moves up to a slot
/// erased for another reason (a cancelled copy), and it clears the marks of slots that may not leave as of all others.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/policies/eviction/recency_list.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the first slot in the queue that was not hit since it entered or was last passed over; when all were, the
/// first. Slots passed over go to the end of the queue without their mark.
///
/// Unlike in `sieve`, survivors lose their place. Memory: 9 bytes a slot. Time: O(1); `victim` and `on_erase`
/// O(1 + slots the hand passes).
class clock {
 public:
  static constexpr std::string_view name = "clock";

  explicit clock(std::size_t capacity) : queue_(capacity), marked_(capacity) {}

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key) noexcept { queue_.push_newest(s); }
  void on_hit(slot_id s) noexcept { marked_[index(s)] = 1; }
  void on_erase(slot_id s) noexcept {
    // A whole lap that found none without a mark leaves the queue as it was.
    if (marked_[index(s)] != 0) std::fill(marked_.begin(), marked_.end(), std::uint8_t{0});
    for (slot_id passed = queue_.oldest(); passed != s; passed = queue_.oldest()) {
      marked_[index(passed)] = 0;
      queue_.make_newest(passed);
    }
    queue_.erase(s);
  }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id const unmarked =
        queue_.oldest_that([&](slot_id s) noexcept { return marked_[index(s)] == 0 && may_leave(s); });
    return unmarked != no_slot ? unmarked : queue_.oldest_that(may_leave);
  }

 private:
  static std::size_t index(slot_id s) noexcept { return static_cast<std::size_t>(s); }

  detail::recency_list queue_;        // the hand stands at the oldest
  std::vector<std::uint8_t> marked_;  // [capacity]
};

static_assert(eviction_policy<clock>);

}  // namespace buddy::inline v0::eviction
