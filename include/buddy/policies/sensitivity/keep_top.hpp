// SPDX-License-Identifier: Apache-2.0
/// @file
/// Protects each token's heaviest experts, whatever their weight.
///
/// Source: the forced true top-J of cache-aware routing (arXiv:2412.00099) and of rank windows in open engines.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/routing.hpp>
#include <buddy/share_order.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::sensitivity {

/// A slot may be replaced iff at least `n_kept` of the token's slots are heavier. Time O(top_k^2).
struct keep_top {
  static constexpr std::string_view name = "keep_top";

  std::uint32_t n_kept = 1;  ///< J: 0 protects none

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    slot_mask mask = 0;
    for (std::uint32_t s = 0; s != token.shares.size; ++s) {
      if (share_rank(token, s) >= n_kept) mask |= slot_mask{1} << s;
    }
    return mask;
  }
};

static_assert(sensitivity_estimator<keep_top>);

}  // namespace buddy::inline v0::sensitivity
