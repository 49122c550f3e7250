// SPDX-License-Identifier: Apache-2.0
/// @file
/// The two 16-bit floating-point formats of model files, to and from `float`.
#pragma once

#include <bit>
#include <cstdint>

namespace buddy::inline v0::io {

/// IEEE 754 binary16 bits to float; exact, subnormals, infinities and NaN payloads included.
[[nodiscard]] constexpr float f16_to_f32(std::uint16_t h) noexcept {
  std::uint32_t const sign = (h & 0x8000U) << 16;
  std::uint32_t const exponent = (h >> 10) & 0x1fU;
  std::uint32_t const mantissa = h & 0x3ffU;
  if (exponent == 0) {  // mantissa * 2^-24, which a float holds exactly
    float const value = static_cast<float>(mantissa) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f80'0000U | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));  // 112 = 127 - 15
}

/// Float to the nearest binary16, ties to even; 65520 (65504 + 16) and above is infinity; a NaN stays one.
[[nodiscard]] constexpr std::uint16_t f32_to_f16(float f) noexcept {
  std::uint32_t const bits = std::bit_cast<std::uint32_t>(f);
  std::uint32_t const sign = (bits >> 16) & 0x8000U;
  std::uint32_t const a = bits & 0x7fff'ffffU;
  std::uint32_t h = 0;
  if (a > 0x7f80'0000U) {  // NaN: quiet, upper payload kept
    h = 0x7e00U | ((a >> 13) & 0x3ffU);
  } else if (a >= 0x477f'f000U) {  // 65520, halfway between the largest half and 65536
    h = 0x7c00U;
  } else if (a >= 0x3880'0000U) {  // 2^-14: a normal half
    std::uint32_t const r = a - 0x3800'0000U;
    h = (r + 0xfffU + ((r >> 13) & 1U)) >> 13;
  } else if (a > 0x3300'0000U) {  // above 2^-25: a subnormal half, in units of 2^-24
    std::uint32_t const m = (a & 0x7f'ffffU) | 0x80'0000U;
    std::uint32_t const shift = 126 - (a >> 23);
    h = (m + (1U << (shift - 1)) - 1 + ((m >> shift) & 1U)) >> shift;
  }
  return static_cast<std::uint16_t>(sign | h);
}

/// bfloat16 bits to float; exact: the upper half of the same format.
[[nodiscard]] constexpr float bf16_to_f32(std::uint16_t h) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(h) << 16);
}

/// Float to the nearest bfloat16, ties to even; a NaN stays one.
[[nodiscard]] constexpr std::uint16_t f32_to_bf16(float f) noexcept {
  std::uint32_t const bits = std::bit_cast<std::uint32_t>(f);
  if ((bits & 0x7fff'ffffU) > 0x7f80'0000U) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace buddy::inline v0::io
