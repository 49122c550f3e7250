// SPDX-License-Identifier: Apache-2.0
/// @file
/// A queue in which a hand passes over what was asked for since it last came by.
///
/// Source: Zhang et al., NSDI 2024, Algorithm 1. Differs from it: `victim` only looks ahead; the hand moves, and clears
/// the marks that it passes, when the slot is erased. So it also moves up to a slot erased for another reason (a
/// cancelled copy), and it clears the marks of slots that may not leave as of all others.
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

/// Gives up the first slot, from the hand towards the newest and on from the oldest, that was not hit since the hand
/// last passed it; when all were, the first.
///
/// Unlike in CLOCK, survivors keep their place in the queue. Memory: 9 bytes a slot. Time: O(1); `victim` and
/// `on_erase` O(1 + slots the hand passes).
class sieve {
 public:
  static constexpr std::string_view name = "sieve";

  explicit sieve(std::size_t capacity) : order_(capacity), visited_(capacity) {}

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key) noexcept { order_.push_newest(s); }
  void on_hit(slot_id s) noexcept { visited_[index(s)] = 1; }
  void on_erase(slot_id s) noexcept {
    if (visited_[index(s)] != 0) {
      std::fill(visited_.begin(), visited_.end(), std::uint8_t{0});  // a whole lap found none without a mark
    } else {
      for (slot_id passed = start(); passed != s; passed = next(passed)) visited_[index(passed)] = 0;
    }
    hand_ = order_.next_newer(s);
    order_.erase(s);
  }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id first = no_slot;
    slot_id const begin = start();
    if (begin == no_slot) return no_slot;
    slot_id s = begin;
    do {
      if ((first == no_slot || visited_[index(s)] == 0) && may_leave(s)) {
        if (visited_[index(s)] == 0) return s;
        first = s;
      }
      s = next(s);
    } while (s != begin);
    return first;
  }

 private:
  static std::size_t index(slot_id s) noexcept { return static_cast<std::size_t>(s); }

  [[nodiscard]] slot_id start() const noexcept { return hand_ != no_slot ? hand_ : order_.oldest(); }
  [[nodiscard]] slot_id next(slot_id s) const noexcept {
    slot_id const newer = order_.next_newer(s);
    return newer != no_slot ? newer : order_.oldest();
  }

  detail::recency_list order_;         // by insertion
  std::vector<std::uint8_t> visited_;  // [capacity]
  slot_id hand_ = no_slot;             // where the next search starts; `no_slot`: at the oldest
};

static_assert(eviction_policy<sieve>);

}  // namespace buddy::inline v0::eviction
