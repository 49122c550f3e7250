// SPDX-License-Identifier: Apache-2.0
/// @file
/// Router probabilities as integers, so that host and device choose by the same bits.
#pragma once

#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/float_order.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// A probability, unit 2^-24, rounded down and held to [0, 1]: a product with a power of two and a cast. What is not a
/// number is 0.
[[nodiscard]] BUDDY_HD constexpr std::uint32_t score_q24(float score) noexcept {
  if (!(score > 0.0F)) return 0;
  return score < 1.0F ? static_cast<std::uint32_t>(score * 16777216.0F) : 1U << 24;
}

/// Smallest score that has a logarithm here: 2^-126, the smallest normal float.
inline constexpr float least_score = 1.17549435e-38F;

/// log2 of a probability, Q16, from the float's bits; it never falls as x rises. A softmax router's logit is this times
/// ln 2, but for what all experts of a token share. What has no logarithm here (0, a subnormal, a negative number, what
/// is not a number) counts as 2^-127.
[[nodiscard]] BUDDY_HD constexpr std::int32_t score_log2_q16(float x) noexcept {
  if (!(x >= least_score)) return -127 * 65536;
  std::uint32_t const bits = detail::bits_of(x);
  auto const exponent = static_cast<std::int32_t>(bits >> 23) - 127;
  std::uint32_t const mantissa = (bits & 0x7f'ffffU) | 0x80'0000U;  // 2^23 times a number in [1, 2)
  return log2_q16(mantissa) + (exponent - 7) * 65536;               // log2_q16 takes its argument for x / 2^16
}

}  // namespace buddy::inline v0
