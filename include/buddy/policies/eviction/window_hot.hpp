// SPDX-License-Identifier: Apache-2.0
/// @file
/// LRU that keeps what a large part of the last accesses went to.
///
/// Source: DALI's workload-aware cache, as tinyserve has it. Differs from it: hot experts leave when nothing else may;
/// the window is the pool's own.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/error.hpp>
#include <buddy/policies/eviction/recency_list.hpp>
#include <buddy/policies/eviction/slot_experts.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the least recently used slot that is not hot, then the least recently used one.
///
/// Hot is an expert with at least `hot_percent` of the last `window` accesses; before that many were made, it needs as
/// many all the same. At most 100 / hot_percent experts are hot: a pool that all layers share hardly ever has one.
/// Memory: 12 bytes a slot, 4 an access of the window. Time: O(1); `victim` O(window x (1 + 100 / hot_percent) + slots
/// it must pass over).
class window_hot {
 public:
  static constexpr std::string_view name = "window_hot";

  /// @param window  accesses to the pool, insertions included
  /// @throws config_error when `window` is 0 or `hot_percent` is not in [1, 100]
  explicit window_hot(std::size_t capacity, std::uint32_t window = 256, std::uint32_t hot_percent = 10)
      : order_(capacity), experts_(capacity), window_(window, nobody), hot_percent_(hot_percent) {
    if (window == 0) detail::throw_config_error("buddy::eviction::window_hot: window must be at least 1");
    if (hot_percent == 0 || hot_percent > 100)
      detail::throw_config_error("buddy::eviction::window_hot: hot_percent must be in [1, 100]");
  }

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key k) noexcept {
    experts_.set(s, k);
    order_.push_newest(s);
    record(k);
  }
  void on_hit(slot_id s) noexcept {
    order_.make_newest(s);
    record(experts_[s]);
  }
  void on_erase(slot_id s) noexcept {
    experts_.clear(s);
    order_.erase(s);
  }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id const cold = order_.oldest_that([&](slot_id s) noexcept { return may_leave(s) && !is_hot(experts_[s]); });
    return cold != no_slot ? cold : order_.oldest_that(may_leave);
  }

 private:
  static constexpr expert_key nobody{0xffff, 0xffff};

  void record(expert_key k) noexcept {
    window_[oldest_] = k;
    oldest_ = oldest_ + 1 == window_.size() ? 0 : oldest_ + 1;
  }

  /// Counted anew each time: some hundred keys that stand side by side, and only when one has to leave.
  [[nodiscard]] bool is_hot(expert_key k) const noexcept {
    auto const count = static_cast<std::uint64_t>(std::count(window_.begin(), window_.end(), k));
    return count * 100 >= std::uint64_t{hot_percent_} * window_.size();
  }

  detail::recency_list order_;
  detail::slot_experts experts_;
  std::vector<expert_key> window_;  // [window] a ring
  std::size_t oldest_ = 0;
  std::uint32_t hot_percent_;
};

static_assert(eviction_policy<window_hot>);

}  // namespace buddy::inline v0::eviction
