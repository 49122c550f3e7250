// SPDX-License-Identifier: Apache-2.0
/// @file
/// Adaptive replacement: recency and frequency share the slots as the misses demand.
///
/// Source: Megiddo, Modha, USENIX FAST 2003, Figure 4. Differs from it: the victim is named before the newcomer is
/// known, so a miss remembered by a ghost list moves the target only for the next eviction, and |T1| equal to the
/// target always gives up from T2; the target is an integer; when the list whose turn it is has none that may leave,
/// the other one is searched; a cancelled copy leaves a ghost.
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

/// Gives up the least recently used of those asked for once (T1) while they hold more slots than their target, else of
/// those asked for again (T2).
///
/// Experts that left T1 or T2 are remembered (B1, B2), at most as many as there are slots. One of B1 that returns says
/// that T1 was too small and raises the target, one of B2 lowers it. Memory: 29 bytes a slot. Time: O(1); `on_insert`
/// and `on_erase` O(capacity); `victim` O(1 + slots it must pass over).
class arc {
 public:
  static constexpr std::string_view name = "arc";

  explicit arc(std::size_t capacity)
      : capacity_(capacity),
        once_(capacity),
        again_(capacity),
        once_ghosts_(capacity + 1),  // one more until the newcomer is known: it may be the oldest ghost
        again_ghosts_(capacity + 1),
        experts_(capacity),
        in_again_(capacity) {}

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key k) noexcept {
    experts_.set(s, k);
    std::size_t const n_once_ghosts = once_ghosts_.size();
    std::size_t const n_again_ghosts = again_ghosts_.size();
    if (once_ghosts_.erase(k)) {
      target_ = std::min(capacity_, target_ + std::max<std::size_t>(1, n_again_ghosts / n_once_ghosts));
      push_again(s);
    } else if (again_ghosts_.erase(k)) {
      target_ -= std::min(target_, std::max<std::size_t>(1, n_once_ghosts / n_again_ghosts));
      push_again(s);
    } else {
      limit_ghosts();
      once_.push_newest(s);
      ++n_once_;
    }
    ++n_filled_;
  }
  void on_hit(slot_id s) noexcept {
    remove(s);
    push_again(s);
  }
  void on_erase(slot_id s) noexcept {
    (in_again_[index(s)] != 0 ? again_ghosts_ : once_ghosts_).push(experts_[s]);
    remove(s);
    --n_filled_;
  }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    bool const from_once = n_once_ > target_;
    slot_id const s = (from_once ? once_ : again_).oldest_that(may_leave);
    return s != no_slot ? s : (from_once ? again_ : once_).oldest_that(may_leave);
  }

 private:
  static std::size_t index(slot_id s) noexcept { return static_cast<std::size_t>(s); }

  void push_again(slot_id s) noexcept {
    in_again_[index(s)] = 1;
    again_.push_newest(s);
  }
  void remove(slot_id s) noexcept {
    n_once_ -= in_again_[index(s)] != 0 ? 0 : 1;
    (in_again_[index(s)] != 0 ? again_ : once_).erase(s);
    in_again_[index(s)] = 0;
  }

  /// Case IV: before an expert that no list knows enters, |T1| + |B1| < c and all four lists together hold < 2c.
  void limit_ghosts() noexcept {
    if (n_once_ + once_ghosts_.size() >= capacity_) {
      once_ghosts_.drop_oldest();
    } else if (n_filled_ + once_ghosts_.size() + again_ghosts_.size() >= 2 * capacity_) {
      again_ghosts_.drop_oldest();
    }
  }

  std::size_t capacity_;             // c
  detail::recency_list once_;        // T1
  detail::recency_list again_;       // T2
  detail::ghost_list once_ghosts_;   // B1
  detail::ghost_list again_ghosts_;  // B2
  detail::slot_experts experts_;
  std::vector<std::uint8_t> in_again_;  // [capacity]
  std::size_t n_once_ = 0;              // |T1|
  std::size_t n_filled_ = 0;            // |T1| + |T2|
  std::size_t target_ = 0;              // p
};

static_assert(eviction_policy<arc>);

}  // namespace buddy::inline v0::eviction
