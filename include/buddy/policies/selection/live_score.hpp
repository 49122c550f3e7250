// SPDX-License-Identifier: Apache-2.0
/// @file
/// The resident expert that the router itself liked best for this token.
///
/// Source: top live score, proposed and measured in several open engines; no table, so nothing to calibrate.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/policies/selection/best_resident.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::selection {

/// Chooses the resident, untaken expert with the highest router score; ties go to the lower id.
///
/// Finds nothing when the engine hides the scores. The rank counts the experts that it would have preferred, were they
/// resident. Compares floats and computes none. Time O(n_experts).
struct live_score {
  static constexpr std::string_view name = "live_score";

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const& token, view<slot_id const> slot_of,
                                                   expert_set const& taken, std::uint32_t) const noexcept {
    return detail::best_resident(token.scores, slot_of, taken);
  }
};

static_assert(buddy_selector<live_score>);

}  // namespace buddy::inline v0::selection
