// SPDX-License-Identifier: Apache-2.0
/// @file
/// No expert is ever replaced.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/routing.hpp>

#include <string_view>

namespace buddy::inline v0::sensitivity {

/// The exact end of the scale: every miss is fetched, computed elsewhere or dropped. Time O(1).
struct never {
  static constexpr std::string_view name = "never";

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const&) const noexcept { return 0; }
};

static_assert(sensitivity_estimator<never>);

}  // namespace buddy::inline v0::sensitivity
