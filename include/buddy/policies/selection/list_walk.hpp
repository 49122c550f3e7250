// SPDX-License-Identifier: Apache-2.0
/// @file
/// The walk along one expert's buddies that the selectors with a table share.
#pragma once

#include <buddy/buddy_table.hpp>
#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0::selection::detail {

/// The first resident, untaken entry among the first `search_limit`; nothing below the threshold is looked at.
[[nodiscard]] BUDDY_HD constexpr stand_in first_resident(buddy_list const& list, view<slot_id const> slot_of,
                                                         expert_set const& taken, std::uint32_t search_limit,
                                                         q16 threshold_q16) noexcept {
  std::uint32_t const n = list.experts.size < search_limit ? list.experts.size : search_limit;
  for (std::uint32_t r = 0; r != n && list.similarities[r] >= threshold_q16; ++r) {
    std::uint16_t const j = list.experts[r];
    if (slot_of[j] == no_slot || taken.contains(j)) continue;
    return {true, resolution::buddy, j, static_cast<std::uint16_t>(r)};
  }
  return {};
}

}  // namespace buddy::inline v0::selection::detail
