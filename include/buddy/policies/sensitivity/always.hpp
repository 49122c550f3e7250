// SPDX-License-Identifier: Apache-2.0
/// @file
/// Every missing expert may be replaced.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/policies/sensitivity/slots.hpp>
#include <buddy/routing.hpp>

#include <string_view>

namespace buddy::inline v0::sensitivity {

/// The other end of the scale: the selector and the budgets alone decide. Time O(1).
struct always {
  static constexpr std::string_view name = "always";

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    return detail::all_slots(token.shares.size);
  }
};

static_assert(sensitivity_estimator<always>);

}  // namespace buddy::inline v0::sensitivity
