// SPDX-License-Identifier: Apache-2.0
/// @file
/// The lighter a missing expert, the less precise its stand-in: itself, its low-precision copy, nothing.
///
/// Source: HOBBIT, arXiv:2411.01433: experts are taken in falling gate weight, and the cumulative normalised weight of
/// those before one decides: up to T1 full precision, up to T2 low, else skipped. Differs from it: residents are always
/// used as they are; the weight before the heaviest is 0, so it is always full.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/share_order.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::selection {

/// With m the share of the token's heavier experts, a miss gets: m <= T1 no stand-in, m <= T2 the low-precision copy,
/// else nothing in its place.
///
/// The copies are the host's: opaque bytes, resident for every expert, to be taken off the cache's bytes with
/// `cache_budget::less`. Time O(top_k).
struct precision_by_mass {
  static constexpr std::string_view name = "precision_by_mass";

  q16 full_q16 = to_q16(0.6);  ///< T1
  q16 low_q16 = to_q16(0.9);   ///< T2

  /// @throws config_error unless 0 <= full <= low <= 1
  [[nodiscard]] static constexpr precision_by_mass fixed(double full, double low) {
    if (!(full >= 0.0 && full <= low && low <= 1.0))
      buddy::detail::throw_config_error("buddy::selection::precision_by_mass: must be 0 <= full <= low <= 1");
    return {to_q16(full), to_q16(low)};
  }

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const& token, view<slot_id const>, expert_set const&,
                                                   std::uint32_t s) const noexcept {
    q16 const mass = heavier_mass(token, s);
    if (mass <= full_q16) return {};
    return {true, mass <= low_q16 ? resolution::low_precision : resolution::drop, 0, 0};
  }
};

static_assert(buddy_selector<precision_by_mass>);

}  // namespace buddy::inline v0::selection
