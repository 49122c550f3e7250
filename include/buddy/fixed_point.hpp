// SPDX-License-Identifier: Apache-2.0
/// @file
/// Fixed-point numbers and the two functions a gate needs of them, so that host and device decide with the same bits.
#pragma once

#include <buddy/config.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// Unsigned fixed point, unit 1/65536.
using q16 = std::uint32_t;

inline constexpr q16 q16_one = 0x1'0000;

/// Nearest q16; the product with a power of two is exact, so a fused multiply-add gives the same bits.
/// @pre 0 <= x < 65535
[[nodiscard]] BUDDY_HD constexpr q16 to_q16(float x) noexcept { return static_cast<q16>(x * 65536.0F + 0.5F); }

[[nodiscard]] BUDDY_HD constexpr q16 to_q16(double x) noexcept { return static_cast<q16>(x * 65536.0 + 0.5); }

namespace detail {

/// Position of the highest bit set. @pre x != 0
[[nodiscard]] BUDDY_HD constexpr std::int32_t highest_bit(std::uint32_t x) noexcept {
  std::int32_t n = 0;
  for (std::int32_t step = 16; step != 0; step /= 2) {
    if ((x >> step) != 0) {
      x >>= step;
      n += step;
    }
  }
  return n;
}

/// One step of Horner's rule in 2.30 fixed point.
[[nodiscard]] BUDDY_HD constexpr std::int64_t horner_q30(std::int64_t sum, std::int64_t x, std::int64_t next) noexcept {
  return ((sum * x) >> 30) + next;
}

}  // namespace detail

/// log2(x / 65536) in Q16: at most 0 for a share. Exact for powers of two, else within one unit of 1/65536.
///
/// The mantissa goes through a degree-7 polynomial (fitted at Chebyshev nodes; error below 1.4e-6).
/// @pre x != 0
[[nodiscard]] BUDDY_HD constexpr std::int32_t log2_q16(q16 x) noexcept {
  std::int32_t const exponent = detail::highest_bit(x);
  std::int64_t const f = (static_cast<std::int64_t>(x) << (31 - exponent) >> 1) - (std::int64_t{1} << 30);  // Q30
  std::int64_t p = 22001343;
  p = detail::horner_q30(p, f, -103150356);
  p = detail::horner_q30(p, f, 231486431);
  p = detail::horner_q30(p, f, -364264527);
  p = detail::horner_q30(p, f, 512932839);
  p = detail::horner_q30(p, f, -774342590);
  p = detail::horner_q30(p, f, 1549080089);
  std::int64_t const fraction = ((p * f) >> 30) + (std::int64_t{1} << 13);  // Q30, rounded to Q16 below
  return (exponent - 16) * 65536 + static_cast<std::int32_t>(fraction >> 14);
}

/// 2^(x / 65536) in Q16; 0 when the result is below 1/131072. Exact for whole powers.
/// @pre x <= 0
[[nodiscard]] BUDDY_HD constexpr q16 exp2_q16(std::int32_t x) noexcept {
  std::int32_t const whole = -((-x + 65535) / 65536);                         // floor
  std::int64_t const f = static_cast<std::int64_t>(x - whole * 65536) << 14;  // Q30 in [0, 1)
  if (whole < -17) return 0;
  std::int64_t p = 1921638;
  p = detail::horner_q30(p, f, 9874991);
  p = detail::horner_q30(p, f, 59763036);
  p = detail::horner_q30(p, f, 257920167);
  p = detail::horner_q30(p, f, 744261544);
  std::int64_t const mantissa = (std::int64_t{1} << 30) + ((p * f) >> 30);
  std::int32_t const shift = 14 - whole;
  return static_cast<q16>((mantissa + (std::int64_t{1} << (shift - 1))) >> shift);
}

/// 2^(-x / 2^24) in Q30; 0 from x = 31 upwards. Relative error below 1e-8 down to 2^-4, then the rounding of Q30.
///
/// Degree-6 polynomial through Chebyshev nodes.
[[nodiscard]] BUDDY_HD constexpr std::uint32_t exp2_negative_q30(std::uint32_t x_q24) noexcept {
  std::uint32_t const whole = (x_q24 >> 24) + ((x_q24 & 0xff'ffffU) != 0 ? 1U : 0U);  // ceil
  if (whole > 31) return 0;
  std::int64_t const f = (static_cast<std::int64_t>(whole << 24) - x_q24) << 6;  // Q30 in [0, 1)
  std::int64_t p = 223531;
  p = detail::horner_q30(p, f, 1362811);
  p = detail::horner_q30(p, f, 10363966);
  p = detail::horner_q30(p, f, 59588402);
  p = detail::horner_q30(p, f, 257941996);
  p = detail::horner_q30(p, f, 744261108);
  std::int64_t const mantissa = (std::int64_t{1} << 30) + ((p * f) >> 30);
  std::int64_t const half = whole == 0 ? 0 : std::int64_t{1} << (whole - 1);
  return static_cast<std::uint32_t>((mantissa + half) >> whole);
}

}  // namespace buddy::inline v0
