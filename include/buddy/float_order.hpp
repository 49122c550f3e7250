// SPDX-License-Identifier: Apache-2.0
/// @file
/// Floats as integers that order alike, and the float operations that must not be fused, so that host and device choose
/// and weigh with the same bits.
#pragma once

#include <buddy/config.hpp>

#include <bit>
#include <cstdint>

namespace buddy::inline v0::detail {

[[nodiscard]] BUDDY_HD constexpr std::uint32_t bits_of(float x) noexcept {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return std::bit_cast<std::uint32_t>(x);
#endif
}

inline constexpr std::uint32_t lowest_order = 0x007f'ffffU;  ///< of minus infinity

/// Larger for the larger float; never below `lowest_order`. Both zeros are one, what is not a number is minus infinity.
[[nodiscard]] BUDDY_HD constexpr std::uint32_t order_bits(float x) noexcept {
  if (x != x) return lowest_order;
  std::uint32_t const bits = x == 0.0F ? 0U : bits_of(x);
  return (bits >> 31) != 0 ? ~bits : bits | 0x8000'0000U;
}

/// a * b, rounded on its own: no compiler may make it part of a fused multiply-add.
[[nodiscard]] BUDDY_HD constexpr float product(float a, float b) noexcept {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return static_cast<float>(static_cast<double>(a) * static_cast<double>(b));  // exact, then rounded once
#endif
}

/// a / b, rounded to nearest whatever the compiler is told of fast arithmetic.
[[nodiscard]] BUDDY_HD constexpr float quotient(float a, float b) noexcept {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}

}  // namespace buddy::inline v0::detail
