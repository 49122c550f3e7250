// SPDX-License-Identifier: Apache-2.0
/// @file
/// Protects a number of experts, and all that weigh nearly as much as the top one.
///
/// Source: smart expert reduction, SER(Kmin, t), of ik_llama.cpp: experts of rank below Kmin, or with p >= t p_max, are
/// kept. Differs from it: only missing experts are given up, where it leaves out residents too; shares instead of
/// probabilities, which have the same ratios.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/routing.hpp>
#include <buddy/share_order.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::sensitivity {

/// A slot may be replaced iff at least `n_kept` slots are heavier and its share is below t times the largest.
/// Time O(top_k^2).
struct ser_gate {
  static constexpr std::string_view name = "ser_gate";

  std::uint32_t n_kept = 1;      ///< Kmin
  q16 ratio_q16 = to_q16(0.25);  ///< t

  /// @throws config_error unless 0 <= ratio <= 1
  [[nodiscard]] static constexpr ser_gate fixed(std::uint32_t n_kept, double ratio) {
    if (!(ratio >= 0.0 && ratio <= 1.0))
      detail::throw_config_error("buddy::sensitivity::ser_gate: ratio must be in [0, 1]");
    return {n_kept, to_q16(ratio)};
  }

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    q16 top = 0;
    for (q16 const share : token.shares) top = share > top ? share : top;
    slot_mask mask = 0;
    for (std::uint32_t s = 0; s != token.shares.size; ++s) {
      bool const light = std::uint64_t{token.shares[s]} * q16_one < std::uint64_t{top} * ratio_q16;
      if (light && share_rank(token, s) >= n_kept) mask |= slot_mask{1} << s;
    }
    return mask;
  }
};

static_assert(sensitivity_estimator<ser_gate>);

}  // namespace buddy::inline v0::sensitivity
