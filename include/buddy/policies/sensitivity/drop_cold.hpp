// SPDX-License-Identifier: Apache-2.0
/// @file
/// Lets only experts be replaced whose share is small beside an equal one.
///
/// Source: the drop-cold rule of open engines for offloaded experts: a missing expert is left out when its share is
/// below F / top_k. Differs from it: here it says which slots; what happens to them is the selector's to choose (left
/// out by `zero_fill`), and it holds for prefill too.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/routing.hpp>
#include <buddy/share_order.hpp>
#include <buddy/types.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::sensitivity {

/// A slot may be replaced iff its share is below F / top_k and it is not the token's heaviest. Time O(top_k^2).
struct drop_cold {
  static constexpr std::string_view name = "drop_cold";

  q16 factor_q16 = to_q16(0.75);  ///< F, in units of an equal share

  /// @throws config_error unless 0 <= factor <= 32
  [[nodiscard]] static constexpr drop_cold fixed(double factor) {
    if (!(factor >= 0.0 && factor <= max_top_k))
      detail::throw_config_error("buddy::sensitivity::drop_cold: factor must be in [0, 32]");
    return {to_q16(factor)};
  }

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    slot_mask mask = 0;
    for (std::uint32_t s = 0; s != token.shares.size; ++s) {
      bool const cold = std::uint64_t{token.shares[s]} * token.shares.size < factor_q16;
      if (cold && share_rank(token, s) != 0) mask |= slot_mask{1} << s;
    }
    return mask;
  }
};

static_assert(sensitivity_estimator<drop_cold>);

}  // namespace buddy::inline v0::sensitivity
