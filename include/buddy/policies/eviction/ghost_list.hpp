// SPDX-License-Identifier: Apache-2.0
/// @file
/// Experts that left not long ago: the memory of policies that learn from what they should have kept.
#pragma once

#include <buddy/fixed_list.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::detail {

/// The last few experts pushed, oldest first.
///
/// Searched from end to end: a few thousand keys of 4 bytes cost less than a microsecond, and they are looked at only
/// when an expert is about to be copied. Every operation is O(capacity), none allocates.
class ghost_list {
 public:
  explicit ghost_list(std::size_t capacity) : keys_(capacity) {}

  [[nodiscard]] std::uint32_t size() const noexcept { return keys_.size(); }
  [[nodiscard]] bool holds(expert_key k) const noexcept {
    auto const keys = keys_.all();
    return std::find(keys.begin(), keys.end(), k) != keys.end();
  }

  /// Remembers `k`; a full list forgets its oldest. @pre not held
  void push(expert_key k) noexcept {
    if (keys_.capacity() == 0) return;
    if (keys_.size() == keys_.capacity()) drop_oldest();
    keys_.push(k);
  }

  /// @returns whether `k` was held
  bool erase(expert_key k) noexcept {
    auto const keys = keys_.all();
    auto const at = std::find(keys.begin(), keys.end(), k);
    if (at == keys.end()) return false;
    std::copy(at + 1, keys.end(), at);
    keys_.resize(keys_.size() - 1);
    return true;
  }

  void drop_oldest() noexcept {
    if (keys_.size() != 0) erase(keys_[0]);
  }

 private:
  fixed_list<expert_key> keys_;
};

}  // namespace buddy::inline v0::detail
