// SPDX-License-Identifier: Apache-2.0
/// @file
/// Nothing stands in: the slot is left out.
///
/// Source: skipping experts, the control that every buddy has to beat.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::selection {

/// Drops each missing expert that gates and budgets let it have; what they refuse takes the policy's other way.
/// Time O(1).
struct zero_fill {
  static constexpr std::string_view name = "zero_fill";

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const&, view<slot_id const>, expert_set const&,
                                                   std::uint32_t) const noexcept {
    return {true, resolution::drop, 0, 0};
  }
};

static_assert(buddy_selector<zero_fill>);

}  // namespace buddy::inline v0::selection
