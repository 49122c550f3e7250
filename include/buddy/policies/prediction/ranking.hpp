// SPDX-License-Identifier: Apache-2.0
/// @file
/// From a score for each expert to a list of experts, best first: how several predictors end.
#pragma once

#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0::detail {

/// Names the experts of the highest scores, those above `floor` only; equal scores in the order of their ids.
/// @returns how many it wrote
/// Time O(n_experts) and O(out.size) for each expert that enters the list.
template <class Score>
[[nodiscard]] std::uint32_t rank_above(Score floor, view<Score const> scores, view<std::uint16_t> out) noexcept {
  if (out.empty()) return 0;
  std::uint32_t n = 0;
  for (std::uint16_t c = 0; c != scores.size; ++c) {
    if (!(scores[c] > floor) || (n == out.size && !(scores[c] > scores[out[n - 1]]))) continue;
    std::uint32_t i = n < out.size ? n++ : n - 1;
    for (; i != 0 && scores[out[i - 1]] < scores[c]; --i) out[i] = out[i - 1];
    out[i] = c;
  }
  return n;
}

}  // namespace buddy::inline v0::detail
