// SPDX-License-Identifier: Apache-2.0
/// @file
/// No stand-in: every miss takes the way that the policy has for refused slots.
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

/// Finds nothing. Time O(1).
struct none {
  static constexpr std::string_view name = "none";

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const&, view<slot_id const>, expert_set const&,
                                                   std::uint32_t) const noexcept {
    return {};
  }
};

static_assert(buddy_selector<none>);

}  // namespace buddy::inline v0::selection
