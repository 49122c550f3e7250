// SPDX-License-Identifier: Apache-2.0
/// @file
/// Least frequently used, with counts that end with residency or outlive it.
///
/// Source: textbook. Differs from it: an insertion counts as an access, also when it was a prefetch that nobody has
/// asked for yet.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/eviction/slot_experts.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the slot whose expert has been asked for least often; among those, the one used longest ago.
///
/// Time: O(1); `victim` O(capacity).
class lfu {
 public:
  static constexpr std::string_view name = "lfu";

  /// An expert that returns starts at 1 again. Memory: 20 bytes a slot.
  explicit lfu(std::size_t capacity) : lfu(capacity, capacity, 0) {}

  /// Counts are kept after eviction. Memory: 12 bytes a slot and 8 bytes an expert of the model, in each pool.
  /// @throws config_error when `shape` is invalid
  lfu(std::size_t capacity, model_shape const& shape)
      : lfu(capacity, (validate(shape), shape.n_keys()), shape.n_experts) {}

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key k) noexcept {
    experts_.set(s, k);
    if (!persistent()) counts_[count_of(s)] = 0;
    on_hit(s);
  }
  void on_hit(slot_id s) noexcept {
    ++counts_[count_of(s)];
    last_use_[static_cast<std::size_t>(s)] = ++time_;
  }
  void on_erase(slot_id s) noexcept { experts_.clear(s); }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    return experts_.first([this](slot_id a, slot_id b) noexcept { return leaves_before(a, b); }, may_leave);
  }

 private:
  lfu(std::size_t capacity, std::size_t n_counts, std::size_t n_experts)
      : experts_(capacity), last_use_(capacity), counts_(n_counts), n_experts_(n_experts) {}

  [[nodiscard]] bool persistent() const noexcept { return n_experts_ != 0; }

  [[nodiscard]] std::size_t count_of(slot_id s) const noexcept {
    if (!persistent()) return static_cast<std::size_t>(s);
    return std::size_t{experts_[s].layer} * n_experts_ + experts_[s].expert;
  }

  [[nodiscard]] bool leaves_before(slot_id a, slot_id b) const noexcept {
    std::uint64_t const count_a = counts_[count_of(a)];
    std::uint64_t const count_b = counts_[count_of(b)];
    if (count_a != count_b) return count_a < count_b;
    return last_use_[static_cast<std::size_t>(a)] < last_use_[static_cast<std::size_t>(b)];
  }

  detail::slot_experts experts_;
  std::vector<std::uint64_t> last_use_;  // [capacity] in accesses
  std::vector<std::uint64_t> counts_;    // [capacity], or [n_layers, n_experts] when they are kept
  std::size_t n_experts_;                // 0: counts end with residency
  std::uint64_t time_ = 0;
};

static_assert(eviction_policy<lfu>);

}  // namespace buddy::inline v0::eviction
