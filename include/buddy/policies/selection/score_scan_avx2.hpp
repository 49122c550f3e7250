// SPDX-License-Identifier: Apache-2.0
/// @file
/// The answer of `select_by_score` for processors with AVX2, 32 experts at a time.
///
/// Written with the compiler's vector types: `<immintrin.h>` alone would cost every user half a second of compile time.
#pragma once

#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(BUDDY_AVX2)

namespace buddy::inline v0::selection::detail {

using float_lanes = float __attribute__((vector_size(32)));
using bit_lanes = std::uint32_t __attribute__((vector_size(32)));

/// Scores and slots of 32 experts, and a bit for each that is taken.
struct score_group {
  float const* scores;
  slot_id const* slots;
  std::uint32_t taken;
};

/// What stands behind the last whole group of a layer: scores that are not numbers never win.
struct padded_group {
  float scores[32];
  slot_id slots[32];

  void fill(view<float const> s, view<slot_id const> slot_of, std::uint32_t first) noexcept {
    for (std::uint32_t i = 0; i != 32; ++i) {
      bool const inside = first + i < s.size;
      scores[i] = inside ? s[first + i] : std::numeric_limits<float>::quiet_NaN();
      slots[i] = inside ? slot_of[first + i] : no_slot;
    }
  }
};

/// best = max(best, scores of those that may serve) in each lane, for 8 of the 32.
template <std::uint32_t Block>
BUDDY_AVX2 [[gnu::always_inline]] inline void raise(float_lanes& best, score_group const& group) noexcept {
  constexpr bit_lanes mine = bit_lanes{1, 1U << 1, 1U << 2, 1U << 3, 1U << 4, 1U << 5, 1U << 6, 1U << 7} << (8 * Block);
  bit_lanes scores;
  bit_lanes slots;
  std::memcpy(&scores, group.scores + 8 * Block, sizeof scores);
  std::memcpy(&slots, group.slots + 8 * Block, sizeof slots);
  bit_lanes const absent = reinterpret_cast<bit_lanes>(slots == static_cast<std::uint32_t>(no_slot));
  bit_lanes const taken = reinterpret_cast<bit_lanes>((mine & group.taken) == mine);
  auto const eligible = reinterpret_cast<float_lanes>(scores | absent | taken);  // all bits set: not a number
  best = eligible > best ? eligible : best;
}

BUDDY_AVX2 [[gnu::always_inline]] inline void raise_all(float_lanes (&best)[4], score_group const& group) noexcept {
  raise<0>(best[0], group);
  raise<1>(best[1], group);
  raise<2>(best[2], group);
  raise<3>(best[3], group);
}

/// The largest of all lanes, in each.
BUDDY_AVX2 [[gnu::always_inline]] inline void spread_largest(float_lanes (&best)[4]) noexcept {
  best[0] = best[0] > best[1] ? best[0] : best[1];
  best[2] = best[2] > best[3] ? best[2] : best[3];
  float_lanes m = best[0] > best[2] ? best[0] : best[2];
  float_lanes other = __builtin_shufflevector(m, m, 4, 5, 6, 7, 0, 1, 2, 3);
  m = m > other ? m : other;
  other = __builtin_shufflevector(m, m, 2, 3, 0, 1, 6, 7, 4, 5);
  m = m > other ? m : other;
  other = __builtin_shufflevector(m, m, 1, 0, 3, 2, 5, 4, 7, 6);
  best[0] = m > other ? m : other;
}

/// A bit for each of 8 experts whose score is at least `bar`.
template <std::uint32_t Block>
BUDDY_AVX2 [[gnu::always_inline]] inline std::uint32_t reaching(float_lanes const& bar, float const* scores) noexcept {
  float_lanes s;
  std::memcpy(&s, scores + 8 * Block, sizeof s);
  auto const bits = static_cast<std::uint32_t>(__builtin_ia32_movmskps256(reinterpret_cast<float_lanes>(s >= bar)));
  return bits << (8 * Block);
}

/// Of one group, counts those that would have been preferred, and finds the first resident that has the best score.
BUDDY_AVX2 [[gnu::always_inline]] inline void rank_group(float_lanes const& bar, score_group const& group,
                                                         std::uint32_t first, stand_in& best) noexcept {
  float const* const scores = group.scores;
  std::uint32_t bits =
      reaching<0>(bar, scores) | reaching<1>(bar, scores) | reaching<2>(bar, scores) | reaching<3>(bar, scores);
  for (bits &= ~group.taken; bits != 0; bits &= bits - 1) {
    auto const i = static_cast<std::uint32_t>(std::countr_zero(bits));
    bool const resident = group.slots[i] != no_slot;
    if (scores[i] > bar[0] || (!best.found && !resident)) {
      ++best.rank;
    } else if (!best.found) {
      best.found = true;
      best.expert = static_cast<std::uint16_t>(first + i);
    }
  }
}

/// The answer of `select_by_score`. @pre the processor has AVX2
[[nodiscard]] BUDDY_AVX2 inline stand_in select_by_score_avx2(view<float const> scores, view<slot_id const> slot_of,
                                                              expert_set const& taken) noexcept {
  std::uint32_t const whole = scores.size / 32 * 32;
  auto const group_at = [&](std::uint32_t e) noexcept -> score_group {
    return {scores.data + e, slot_of.data + e, static_cast<std::uint32_t>(taken.word(e / 64) >> (e % 64))};
  };
  padded_group rest;
  score_group last{rest.scores, rest.slots, 0};
  float_lanes best[4];
  for (auto& lanes : best) lanes = float_lanes{} - std::numeric_limits<float>::infinity();
  for (std::uint32_t e = 0; e != whole; e += 32) raise_all(best, group_at(e));
  if (whole != scores.size) {
    rest.fill(scores, slot_of, whole);
    last.taken = group_at(whole).taken;
    raise_all(best, last);
  }
  spread_largest(best);
  stand_in answer;
  if (!(best[0][0] > -std::numeric_limits<float>::infinity())) return answer;
  for (std::uint32_t e = 0; e != whole; e += 32) rank_group(best[0], group_at(e), e, answer);
  if (whole != scores.size) rank_group(best[0], last, whole, answer);
  return answer;
}

}  // namespace buddy::inline v0::selection::detail

#endif
