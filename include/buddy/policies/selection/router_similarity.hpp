// SPDX-License-Identifier: Apache-2.0
/// @file
/// The stand-in is the resident peer whose router row points most nearly where the missing expert's does.
///
/// Source: the nearest-by-router-weights control of expert substitution. Needs the checkpoint alone, no text.
#pragma once

#include <buddy/buddy_table.hpp>
#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/selection/list_walk.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::selection {

/// Takes the first resident, untaken expert in order of the cosine between router rows, mapped to [0, 1].
///
/// An expert that calibration never saw has an empty list. Time O(entries looked at).
struct router_similarity {
  static constexpr std::string_view name = "router_similarity";

  buddy_table_ref table{};                   ///< from `router_neighbours`
  std::uint32_t search_limit = max_experts;  ///< entries that are looked at, resident or not; 1: the nearest or none
  q16 threshold_q16 = 0;                     ///< smallest similarity, as the table has it, that may stand in

  /// Whether the table is of this model's sizes.
  [[nodiscard]] constexpr bool fits(model_shape const& shape) const noexcept { return table.fits(shape); }

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const& token, view<slot_id const> slot_of,
                                                   expert_set const& taken, std::uint32_t s) const noexcept {
    return detail::first_resident(table.of({token.layer, token.experts[s]}), slot_of, taken, search_limit,
                                  threshold_q16);
  }
};

static_assert(buddy_selector<router_similarity>);

}  // namespace buddy::inline v0::selection
