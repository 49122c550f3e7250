// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which expert is in which slot of one pool, and the search that policies without a list of their own share.
#pragma once

#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0::detail {

/// The expert of each slot. Memory: 4 bytes a slot.
class slot_experts {
 public:
  explicit slot_experts(std::size_t capacity) : experts_(capacity, none) {}

  void set(slot_id s, expert_key k) noexcept { experts_[static_cast<std::size_t>(s)] = k; }
  void clear(slot_id s) noexcept { experts_[static_cast<std::size_t>(s)] = none; }

  /// @pre `s` is filled
  [[nodiscard]] expert_key operator[](slot_id s) const noexcept { return experts_[static_cast<std::size_t>(s)]; }

  /// The filled slot that comes before all others that may leave, or `no_slot`. O(capacity).
  /// @param before  bool before(slot_id, slot_id): a strict order, no two slots equal
  template <class Before, class MayLeave>
  [[nodiscard]] slot_id first(Before const& before, MayLeave const& may_leave) const noexcept {
    slot_id best = no_slot;
    for (std::uint32_t i = 0; i != experts_.size(); ++i) {
      slot_id const s{i};
      if (experts_[i] == none || (best != no_slot && !before(s, best))) continue;
      if (may_leave(s)) best = s;
    }
    return best;
  }

 private:
  static constexpr expert_key none{0xffff, 0xffff};  // above every id: experts end at `max_experts`

  std::vector<expert_key> experts_;
};

}  // namespace buddy::inline v0::detail
