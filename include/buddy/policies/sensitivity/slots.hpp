// SPDX-License-Identifier: Apache-2.0
/// @file
/// What several gates ask of one token's slots.
#pragma once

#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/routing.hpp>
#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0::detail {

/// The lowest `top_k` bits. @pre top_k <= 32
[[nodiscard]] BUDDY_HD constexpr slot_mask all_slots(std::uint32_t top_k) noexcept {
  return top_k == 32 ? ~slot_mask{0} : (slot_mask{1} << top_k) - 1;
}

/// Largest share less second largest; the whole share when there is only one.
[[nodiscard]] BUDDY_HD constexpr q16 margin(view<q16 const> shares) noexcept {
  q16 first = 0;
  q16 second = 0;
  for (q16 const share : shares) {
    if (share > first) {
      second = first;
      first = share;
    } else if (share > second) {
      second = share;
    }
  }
  return first - second;
}

}  // namespace buddy::inline v0::detail
