// SPDX-License-Identifier: Apache-2.0
/// @file
/// Frequency divided by age: between LFU and LRU, without a setting.
///
/// Source: the LFRU of tinyserve, and of vLLM pull request 37190 for expert caches. Differs from it: no floats; ties go
/// to the lower (layer, expert).
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/policies/eviction/slot_experts.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the slot with the lowest f / (c - last + 1): f accesses since it was filled, c accesses to the pool so far,
/// `last` the value of c at its last access.
///
/// Two fractions are compared by their cross products, exactly as long as f and ages are below 2^32; beyond that they
/// count as 2^32 - 1. Memory: 16 bytes a slot. Time: O(1); `victim` O(capacity).
class lfru {
 public:
  static constexpr std::string_view name = "lfru";

  explicit lfru(std::size_t capacity) : experts_(capacity), last_use_(capacity), counts_(capacity) {}

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key k) noexcept {
    experts_.set(s, k);
    counts_[index(s)] = 0;
    on_hit(s);
  }
  void on_hit(slot_id s) noexcept {
    counts_[index(s)] += counts_[index(s)] == largest ? 0 : 1;
    last_use_[index(s)] = ++time_;
  }
  void on_erase(slot_id s) noexcept { experts_.clear(s); }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    return experts_.first([this](slot_id a, slot_id b) noexcept { return leaves_before(a, b); }, may_leave);
  }

 private:
  static constexpr std::uint32_t largest = std::numeric_limits<std::uint32_t>::max();

  static std::size_t index(slot_id s) noexcept { return static_cast<std::size_t>(s); }

  [[nodiscard]] std::uint64_t age(slot_id s) const noexcept {
    return std::min<std::uint64_t>(time_ - last_use_[index(s)] + 1, largest);
  }
  [[nodiscard]] bool leaves_before(slot_id a, slot_id b) const noexcept {
    std::uint64_t const left = counts_[index(a)] * age(b);  // below 2^64: both are below 2^32
    std::uint64_t const right = counts_[index(b)] * age(a);
    return left != right ? left < right : experts_[a] < experts_[b];
  }

  detail::slot_experts experts_;
  std::vector<std::uint64_t> last_use_;  // [capacity] in accesses
  std::vector<std::uint32_t> counts_;    // [capacity]
  std::uint64_t time_ = 0;
};

static_assert(eviction_policy<lfru>);

}  // namespace buddy::inline v0::eviction
