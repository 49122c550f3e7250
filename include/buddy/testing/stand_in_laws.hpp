// SPDX-License-Identifier: Apache-2.0
/// @file
/// Checks the laws of `stand_in_model` on any model, yours included, under any test framework.
#pragma once

#include <buddy/concepts/stand_in_model.hpp>
#include <buddy/resolution.hpp>
#include <buddy/testing/dice.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::testing {

namespace detail {

inline std::vector<float> random_vector(std::size_t n, dice& random) {
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(random.roll(2001)) / 1000.0F - 1.0F;
  return x;
}

/// What it adds to `before`, which has one element more than the stand-in may touch.
template <stand_in_model S>
std::vector<float> added(S const& s, float weight, std::vector<float> const& x, std::vector<float> before) {
  s.add(weight, x.data(), before.data());
  return before;
}

/// |a - b| within rounding of sums of this size.
inline bool near(float a, float b, float size) { return std::fabs(a - b) <= 1e-4F * (1.0F + size); }

}  // namespace detail

/// @param hidden  length of a token's vector
/// @returns the law that was broken first, or an empty view
template <stand_in_model S>
[[nodiscard]] std::string_view broken_stand_in_law(S const& s, std::size_t hidden, std::uint32_t seed,
                                                   int tokens = 50) {
  if (S::how != resolution::buddy && S::how != resolution::surrogate && S::how != resolution::low_precision &&
      S::how != resolution::drop)
    return "how must be a stand-in's";
  dice random(seed);
  for (int t = 0; t != tokens; ++t) {
    auto const x = detail::random_vector(hidden, random);
    std::vector<float> const nothing(hidden + 1, 0.0F);
    auto const before = detail::random_vector(hidden + 1, random);
    auto const once = detail::added(s, 0.5F, x, nothing);
    auto const onto = detail::added(s, 0.5F, x, before);
    auto const half = detail::added(s, 0.25F, x, nothing);
    if (onto[hidden] != before[hidden]) return "nothing beyond hidden may be touched";
    if (detail::added(s, 0.0F, x, before) != before) return "a weight of 0 must add nothing";
    if (detail::added(s, 0.5F, x, before) != onto) return "equal inputs must give equal outputs";
    for (std::size_t i = 0; i != hidden; ++i) {
      float const size = std::fabs(once[i]) + std::fabs(before[i]);
      if (!detail::near(onto[i], before[i] + once[i], size)) return "the output must be added";
      if (!detail::near(once[i], 2.0F * half[i], size)) return "the output must be proportional to the weight";
    }
  }
  return {};
}

}  // namespace buddy::inline v0::testing
