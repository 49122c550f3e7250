// SPDX-License-Identifier: Apache-2.0
/// @file
/// Segmented LRU: an expert must be asked for twice before it is safe from those asked for once.
///
/// Source: Karedla, Love, Wherry, IEEE Computer 27(3), 1994. Differs from it: when the probationary segment has none
/// that may leave, the protected one is searched.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/error.hpp>
#include <buddy/policies/eviction/recency_list.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the least recently used slot of the probationary segment, then of the protected one.
///
/// A new expert is on probation; a hit protects it. Above its share of the slots the protected segment sends its least
/// recently used back to probation, as the newest there. Memory: 17 bytes a slot. Time: O(1); `victim` O(1 + slots it
/// must pass over).
class slru {
 public:
  static constexpr std::string_view name = "slru";

  /// @param protected_percent  share of the slots that may be protected, rounded down
  /// @throws config_error when `protected_percent` is above 100
  explicit slru(std::size_t capacity, std::uint32_t protected_percent = 80)
      : probation_(capacity),
        protected_(capacity),
        is_protected_(capacity),
        protected_limit_(capacity * protected_percent / 100) {
    if (protected_percent > 100)
      detail::throw_config_error("buddy::eviction::slru: protected_percent must be at most 100");
  }

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key) noexcept { probation_.push_newest(s); }
  void on_hit(slot_id s) noexcept {
    on_erase(s);
    is_protected_[index(s)] = 1;
    ++n_protected_;
    protected_.push_newest(s);
    if (n_protected_ <= protected_limit_) return;
    slot_id const demoted = protected_.oldest();
    on_erase(demoted);
    probation_.push_newest(demoted);
  }
  void on_erase(slot_id s) noexcept {
    n_protected_ -= is_protected_[index(s)];
    (is_protected_[index(s)] != 0 ? protected_ : probation_).erase(s);
    is_protected_[index(s)] = 0;
  }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id const s = probation_.oldest_that(may_leave);
    return s != no_slot ? s : protected_.oldest_that(may_leave);
  }

 private:
  static std::size_t index(slot_id s) noexcept { return static_cast<std::size_t>(s); }

  detail::recency_list probation_;
  detail::recency_list protected_;
  std::vector<std::uint8_t> is_protected_;  // [capacity]
  std::size_t protected_limit_;
  std::size_t n_protected_ = 0;
};

static_assert(eviction_policy<slru>);

}  // namespace buddy::inline v0::eviction
