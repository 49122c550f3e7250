// SPDX-License-Identifier: Apache-2.0
/// @file
/// What holds for the slots of one token at one layer, and how one of them ends.
#pragma once

#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <limits>

namespace buddy::inline v0 {

/// Which of a token's missing experts is served first, while there are stand-ins to give.
enum class budget_order : std::uint8_t {
  router,  ///< in the router's order: the heaviest first
  /// By ascending gate weight, so that a budget spares the experts that matter most. Of equal shares the later slot is
  /// served first: where two weights differ by less than a share can show, a router that sorts has it the lighter one.
  lightest_first,
  /// By ascending expected loss, as far as `row_rules::loss` bears it: for selectors that know what a stand-in costs.
  least_loss,
};

/// What the stand-ins of one token at one layer may cost, in micro-bits; for `budget_order::least_loss`.
struct loss_limits {
  static constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

  std::uint64_t allowance_ub{no_limit};  ///< most that they may lose together
  /// The exchange rate of time and loss: what may be lost to save the time of one fetch.
  std::uint32_t fetch_worth_ub{std::numeric_limits<std::uint32_t>::max()};
  slot_mask arriving{};  ///< slots whose experts another token of the batch fetches: to wait for them costs nothing
  /// [top_k + 1] time of n misses that get no stand-in, unit one fetch, Q16, from 0 and never falling; empty: n
  view<q16 const> times_q16{};

  /// What the time of n misses is worth. @pre n <= max_top_k
  [[nodiscard]] BUDDY_HD constexpr std::uint64_t worth_ub(std::uint32_t n) const noexcept {
    return times_q16.empty() ? std::uint64_t{fetch_worth_ub} * n : std::uint64_t{fetch_worth_ub} * times_q16[n] >> 16;
  }
};

/// What holds for every slot of the token.
struct row_rules {
  refusal closed{refusal::none};            ///< not `none`: no stand-in at all, for this reason
  resolution otherwise{resolution::fetch};  ///< how a slot without a stand-in ends
  budget_order order{budget_order::router};
  std::uint32_t token_budget{max_top_k};   ///< rho: most stand-ins for the token
  std::uint32_t window_budget{max_top_k};  ///< stand-ins the sliding window has left
  loss_limits loss{};                      ///< for `least_loss`
};

/// How one routed slot ends; without slot and weight, which the caller knows.
struct slot_outcome {
  resolution how{resolution::own};
  refusal why{refusal::none};
  std::uint16_t expert{};
  std::uint16_t rank{};
  q16 scale_q16{q16_one};   ///< factor of the stand-in's output; exactly 1 where there is none
  std::uint32_t loss_ub{};  ///< expected loss of the stand-in, with `least_loss`; 0 where there is none
};

}  // namespace buddy::inline v0
