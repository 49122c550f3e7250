// SPDX-License-Identifier: Apache-2.0
/// @file
/// Finds the best-scored resident expert: the plain scan that defines the answer, and the same in blocks for the host.
#pragma once

#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

namespace buddy::inline v0::selection::detail {

/// A constant, since device code may not call `infinity()`.
inline constexpr float below_all = -std::numeric_limits<float>::infinity();

/// The resident, untaken expert with the highest score, ties to the lower id; scores that are not numbers never win.
/// `rank` counts the experts that are neither resident nor taken and would have been preferred.
[[nodiscard]] BUDDY_HD constexpr stand_in select_by_score(view<float const> scores, view<slot_id const> slot_of,
                                                          expert_set const& taken) noexcept {
  stand_in best;
  float highest = below_all;
  for (std::uint32_t e = 0; e != scores.size; ++e) {
    if (!(scores[e] > highest) || slot_of[e] == no_slot || taken.contains(e)) continue;
    highest = scores[e];
    best = {true, resolution::buddy, static_cast<std::uint16_t>(e), 0};
  }
  for (std::uint32_t e = 0; best.found && e != scores.size; ++e) {
    if (e == best.expert || !(scores[e] >= highest) || taken.contains(e)) continue;
    if (scores[e] > highest || e < best.expert) ++best.rank;
  }
  return best;
}

inline constexpr std::int32_t never_chosen = std::numeric_limits<std::int32_t>::min();

/// An integer that orders as the float does; `never_chosen` for minus infinity and for what is not a number.
[[nodiscard]] inline std::int32_t order_of(float score) noexcept {
  auto const bits = std::bit_cast<std::int32_t>(score + 0.0F);  // both zeros are one
  std::int32_t const key = bits < 0 ? bits ^ 0x7fff'ffff : bits;
  return score > below_all ? key : never_chosen;
}

/// Largest of `keys` [n].
[[nodiscard]] inline std::int32_t largest(std::int32_t const* keys, std::uint32_t n) noexcept {
  std::int32_t best = never_chosen;
  for (std::uint32_t e = 0; e != n; ++e) best = std::max(best, keys[e]);
  return best;
}

/// Position of the first key that is `wanted`; whole blocks first. @pre there is one
[[nodiscard]] inline std::uint32_t first_equal(std::int32_t const* keys, std::uint32_t n,
                                               std::int32_t wanted) noexcept {
  constexpr std::uint32_t width = 16;
  std::uint32_t e = 0;
  for (; e + width <= n; e += width) {
    std::uint32_t equal = 0;
    for (std::uint32_t i = 0; i != width; ++i) equal += keys[e + i] == wanted ? 1U : 0U;
    if (equal != 0) break;
  }
  while (keys[e] != wanted) ++e;
  return e;
}

/// Experts in [first, last) that are not resident and whose key is at least `bar`.
[[nodiscard]] inline std::uint32_t count_missing(std::int32_t const* keys, slot_id const* slot_of, std::uint32_t first,
                                                 std::uint32_t last, std::int32_t bar) noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t e = first; e < last; ++e) {
    std::uint32_t const preferred = keys[e] >= bar ? 1U : 0U;
    std::uint32_t const absent = slot_of[e] == no_slot ? 1U : 0U;
    count += preferred & absent;  // no branch: both are always read
  }
  return count;
}

/// Calls f(expert) for each member of `set` below n_experts.
template <class F>
void for_each_member(expert_set const& set, std::uint32_t n_experts, F const& f) {
  for (std::uint32_t w = 0; w * 64 < n_experts; ++w)
    for (std::uint64_t word = set.word(w); word != 0; word &= word - 1)
      f(w * 64 + static_cast<std::uint32_t>(std::countr_zero(word)));
}

/// The answer of `select_by_score`, without a branch that depends on a score.
[[nodiscard]] inline stand_in select_by_score_in_blocks(view<float const> scores, view<slot_id const> slot_of,
                                                        expert_set const& taken) noexcept {
  std::int32_t all[max_experts];
  std::int32_t eligible[max_experts];
  for (std::uint32_t e = 0; e != scores.size; ++e) {
    all[e] = order_of(scores[e]);
    eligible[e] = slot_of[e] != no_slot ? all[e] : never_chosen;
  }
  for_each_member(taken, scores.size, [&](std::uint32_t e) { eligible[e] = never_chosen; });
  std::int32_t const best = largest(eligible, scores.size);
  if (best == never_chosen) return {};
  std::uint32_t const chosen = first_equal(eligible, scores.size, best);

  // Ties go to the lower id, so an equal score before the chosen one would have been preferred, one behind it not.
  std::int32_t const above = best == std::numeric_limits<std::int32_t>::max() ? best : best + 1;
  std::uint32_t rank =
      count_missing(all, slot_of.data, 0, chosen, best) + count_missing(all, slot_of.data, chosen, scores.size, above);
  for_each_member(taken, scores.size, [&](std::uint32_t e) {
    if (slot_of[e] == no_slot && all[e] >= (e < chosen ? best : above)) --rank;
  });
  return {true, resolution::buddy, static_cast<std::uint16_t>(chosen), static_cast<std::uint16_t>(rank)};
}

}  // namespace buddy::inline v0::selection::detail
