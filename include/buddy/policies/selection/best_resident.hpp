// SPDX-License-Identifier: Apache-2.0
/// @file
/// The best-scored resident expert, found in the way that is quickest where it runs.
#pragma once

#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/policies/selection/score_scan.hpp>
#include <buddy/policies/selection/score_scan_avx2.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <type_traits>

namespace buddy::inline v0::selection::detail {

/// The answer of `select_by_score`: the same bits from every scan.
[[nodiscard]] BUDDY_HD constexpr stand_in best_resident(view<float const> scores, view<slot_id const> slot_of,
                                                        expert_set const& taken) noexcept {
#if defined(__CUDA_ARCH__)
  return select_by_score(scores, slot_of, taken);
#else
  if (std::is_constant_evaluated()) return select_by_score(scores, slot_of, taken);
#if defined(BUDDY_AVX2)
  if (__builtin_cpu_supports("avx2")) return select_by_score_avx2(scores, slot_of, taken);
#endif
  return select_by_score_in_blocks(scores, slot_of, taken);
#endif
}

}  // namespace buddy::inline v0::selection::detail
