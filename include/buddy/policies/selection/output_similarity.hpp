// SPDX-License-Identifier: Apache-2.0
/// @file
/// The stand-in is the resident peer whose output on calibration text was most like the missing expert's.
///
/// Source: SERE, arXiv:2602.07616: the most similar expert among the allowed ones, by cosine mapped
/// to [0, 1], CKA or Frobenius similarity of calibration outputs; below a threshold the expert is kept. Differs from
/// it: the allowed ones are the residents, not the batch's most popular; kept means the policy's way for refused slots.
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

/// Takes the first resident, untaken expert in order of output similarity, if it reaches the threshold.
///
/// An expert that calibration never saw has an empty list. Time O(entries looked at).
struct output_similarity {
  static constexpr std::string_view name = "output_similarity";

  buddy_table_ref table{};                   ///< from `output_neighbours`
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

static_assert(buddy_selector<output_similarity>);

}  // namespace buddy::inline v0::selection
