// SPDX-License-Identifier: Apache-2.0
/// @file
/// Three queues: a small one in which newcomers prove themselves, a main one, and one of ghosts.
///
/// Source: Yang et al., SOSP 2023, Algorithm 1. Differs from it: `victim` only looks ahead; the queues turn when the
/// slot is erased. So an erasure for another reason (a cancelled copy) turns them too, slots that may not leave are
/// passed over and age as the others do, and promotion to main evicts nothing by itself.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/policies/eviction/ghost_list.hpp>
#include <buddy/policies/eviction/recency_list.hpp>
#include <buddy/policies/eviction/slot_experts.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the oldest of the small queue while it holds its share of a tenth, else the oldest of the main queue that
/// was not hit since it last came round.
///
/// Slots of the small queue that were hit more than once move to the main queue instead. An expert that left the small
/// queue is remembered, and enters the main queue if it returns in time. Hits count up to 3; each round in the main
/// queue takes one off. Memory: 26 bytes a slot. Time: O(1); `on_insert`, `on_erase` and `victim` O(capacity).
class s3_fifo {
 public:
  static constexpr std::string_view name = "s3_fifo";

  explicit s3_fifo(std::size_t capacity)
      : small_limit_(std::max<std::size_t>(1, capacity / 10)),
        small_(capacity),
        main_(capacity),
        ghosts_(capacity - std::min(capacity, small_limit_)),
        experts_(capacity),
        hits_(capacity),
        in_main_(capacity) {}

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key k) noexcept {
    experts_.set(s, k);
    hits_[index(s)] = 0;
    bool const was_early = ghosts_.erase(k);
    in_main_[index(s)] = was_early ? 1 : 0;
    (was_early ? main_ : small_).push_newest(s);
    n_small_ += was_early ? 0 : 1;
  }
  void on_hit(slot_id s) noexcept { hits_[index(s)] = std::min<std::uint8_t>(3, hits_[index(s)] + 1); }
  void on_erase(slot_id s) noexcept {
    if (small_is_full()) promote_until(s);
    if (in_main_[index(s)] != 0) {
      turn_main_to(s);
      main_.erase(s);
    } else {
      ghosts_.push(experts_[s]);
      small_.erase(s);
      --n_small_;
    }
  }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    auto const unproven = [&](slot_id s) noexcept { return !is_proven(s) && may_leave(s); };
    slot_id s = small_is_full() ? small_.oldest_that(unproven) : no_slot;
    if (s != no_slot) return s;
    s = least_hit(may_leave);
    if (s != no_slot && (hits_[index(s)] == 0 || !small_is_full())) return s;
    // Those just promoted stand at the end of main, without a hit; when main has none that may leave, anyone does.
    slot_id const other = small_.oldest_that(unproven);
    slot_id const promoted = other != no_slot ? other : small_.oldest_that(may_leave);
    return promoted != no_slot ? promoted : s;
  }

 private:
  static std::size_t index(slot_id s) noexcept { return static_cast<std::size_t>(s); }

  [[nodiscard]] bool small_is_full() const noexcept { return n_small_ >= small_limit_; }
  [[nodiscard]] bool is_proven(slot_id s) const noexcept { return hits_[index(s)] > 1; }

  /// Of main, the slot that would be the first to come round with no hit left.
  template <class MayLeave>
  [[nodiscard]] slot_id least_hit(MayLeave const& may_leave) const noexcept {
    slot_id best = no_slot;
    for (slot_id s = main_.oldest(); s != no_slot; s = main_.next_newer(s)) {
      if (best != no_slot && hits_[index(s)] >= hits_[index(best)]) continue;
      if (may_leave(s)) best = s;
      if (best == s && hits_[index(s)] == 0) break;
    }
    return best;
  }

  /// Moves the proven slots of small to main, up to the one that leaves.
  void promote_until(slot_id leaving) noexcept {
    for (slot_id s = small_.oldest(); s != no_slot && (s != leaving || is_proven(s));) {
      slot_id const next = small_.next_newer(s);
      if (is_proven(s)) {
        small_.erase(s);
        --n_small_;
        main_.push_newest(s);
        in_main_[index(s)] = 1;
        hits_[index(s)] = 0;
      }
      s = next;
    }
  }

  /// Turns the main queue until `leaving` is the oldest and has no hit left.
  void turn_main_to(slot_id leaving) noexcept {
    std::uint8_t const rounds = hits_[index(leaving)];
    for (slot_id s = main_.oldest(); rounds != 0 && s != no_slot; s = main_.next_newer(s))
      hits_[index(s)] -= std::min(hits_[index(s)], rounds);
    for (slot_id s = main_.oldest(); s != leaving; s = main_.oldest()) {
      hits_[index(s)] -= std::min<std::uint8_t>(hits_[index(s)], 1);
      main_.make_newest(s);
    }
  }

  std::size_t small_limit_;
  detail::recency_list small_;  // by insertion
  detail::recency_list main_;   // by insertion or last round
  detail::ghost_list ghosts_;   // as many as main may hold
  detail::slot_experts experts_;
  std::vector<std::uint8_t> hits_;     // [capacity] since the insertion, promotion or last round; at most 3
  std::vector<std::uint8_t> in_main_;  // [capacity]
  std::size_t n_small_ = 0;
};

static_assert(eviction_policy<s3_fifo>);

}  // namespace buddy::inline v0::eviction
