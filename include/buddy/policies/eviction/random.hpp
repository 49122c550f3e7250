// SPDX-License-Identifier: Apache-2.0
/// @file
/// Random replacement: the control that says how much the order of eviction matters at all.
///
/// Source: textbook. Differs from it: reproducible from a seed.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/splitmix64.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the first slot that may leave, counted from a random one.
///
/// The start changes with every insertion and erasure and not with `victim`, so asking twice gives the same answer. A
/// slot behind others that may not leave is chosen a little more often than its share.
/// Memory: 1 byte a slot. Time: O(1); `victim` O(1 + slots it must pass over).
class random {
 public:
  static constexpr std::string_view name = "random";

  explicit random(std::size_t capacity, std::uint64_t seed = 1) : filled_(capacity), seed_(splitmix64(seed)) {}

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key) noexcept {
    filled_[static_cast<std::size_t>(s)] = 1;
    ++changes_;
  }
  void on_hit(slot_id) noexcept {}
  void on_erase(slot_id s) noexcept {
    filled_[static_cast<std::size_t>(s)] = 0;
    ++changes_;
  }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    auto const n = static_cast<std::uint32_t>(filled_.size());
    std::uint32_t i = below(splitmix64(seed_ ^ changes_), n);
    for (std::uint32_t passed = 0; passed != n; ++passed) {
      if (filled_[i] != 0 && may_leave(slot_id{i})) return slot_id{i};
      i = i + 1 == n ? 0 : i + 1;
    }
    return no_slot;
  }

 private:
  std::vector<std::uint8_t> filled_;
  std::uint64_t seed_;
  std::uint64_t changes_{};
};

static_assert(eviction_policy<random>);

}  // namespace buddy::inline v0::eviction
