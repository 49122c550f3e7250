// SPDX-License-Identifier: Apache-2.0
/// @file
/// Selectors inside a warp: those that search all experts share the search among the lanes.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/float_order.hpp>
#include <buddy/policies/selection/live_score.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace buddy::inline v0::cuda {

namespace detail {

/// The answer of `selection::live_score`, found by all lanes together.
template <class Warp>
[[nodiscard]] BUDDY_HD stand_in best_resident(Warp const& warp, view<float const> scores, view<slot_id const> slot_of,
                                              expert_set const& taken) noexcept {
  using buddy::detail::lowest_order;
  using buddy::detail::order_bits;
  auto const key = [&](std::uint32_t e) {
    return slot_of[e] == no_slot || taken.contains(e) ? lowest_order : order_bits(scores[e]);
  };
  auto const keys = warp.map([&](std::uint32_t lane) {
    std::uint32_t best = lowest_order;
    for (std::uint32_t e = lane; e < scores.size; e += 32) best = key(e) > best ? key(e) : best;
    return best;
  });
  std::uint32_t const highest = warp.max(keys);
  if (highest == lowest_order) return {};  // minus infinity never wins
  auto const firsts = warp.map([&](std::uint32_t lane) {
    for (std::uint32_t e = lane; e < scores.size; e += 32)
      if (key(e) == highest) return e;
    return 0xffff'ffffU;
  });
  std::uint32_t const chosen = warp.min(firsts);
  auto const preferred = warp.map([&](std::uint32_t lane) {
    std::uint32_t n = 0;
    for (std::uint32_t e = lane; e < scores.size; e += 32) {
      std::uint32_t const order = order_bits(scores[e]);
      n += !taken.contains(e) && (order > highest || (order == highest && e < chosen)) ? 1U : 0U;
    }
    return n;
  });
  return {true, resolution::buddy, static_cast<std::uint16_t>(chosen), static_cast<std::uint16_t>(warp.sum(preferred))};
}

}  // namespace detail

/// A selector as the lanes of one warp ask it, all with the same token: each gets the whole answer.
template <class Warp, buddy_selector Selector>
struct in_warp {
  static constexpr std::string_view name = Selector::name;

  Warp warp;
  Selector selector;

  [[nodiscard]] BUDDY_HD stand_in select(token_view const& token, view<slot_id const> slot_of, expert_set const& taken,
                                         std::uint32_t s) const noexcept {
    if constexpr (std::is_same_v<Selector, selection::live_score>) {
      return detail::best_resident(warp, token.scores, slot_of, taken);
    } else {
      return selector.select(token, slot_of, taken, s);  // a table is short: each lane walks it
    }
  }
};

}  // namespace buddy::inline v0::cuda
