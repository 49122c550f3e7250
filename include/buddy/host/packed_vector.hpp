// SPDX-License-Identifier: Apache-2.0
/// @file
/// The order and precision in which a row kernel wants the vector that it multiplies rows with.
#pragma once

#include <buddy/expert_record.hpp>
#include <buddy/io/half.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace buddy::inline v0::host {

/// How the elements of a packed vector lie in memory.
///
/// Two bf16 in one 32-bit lane become two floats by a shift and a mask, one for the even and one for the odd element:
/// cheaper than to widen them in order. So the vector is put in that order once, and every row profits.
enum class packing : std::uint8_t {
  f32,           ///< floats in order
  f32_pairs_16,  ///< floats in blocks of 16: the 8 even elements, then the 8 odd ones
  f32_pairs_32,  ///< floats in blocks of 32: the 16 even elements, then the 16 odd ones
  bf16,          ///< bf16 in order
};

/// Bytes of a packed vector of `n` elements, whatever its packing; a multiple of 128. Kernels multiply whole blocks:
/// the memory must be zero before the first element is put, and what lies behind the last one stays so.
[[nodiscard]] constexpr std::size_t packed_bytes(std::size_t n) noexcept { return (n + 31) / 32 * 32 * sizeof(float); }

/// Where element `i` lies, counted in elements.
[[nodiscard]] constexpr std::size_t packed_position(packing p, std::size_t i) noexcept {
  std::size_t const block = p == packing::f32_pairs_16 ? 16 : p == packing::f32_pairs_32 ? 32 : 0;
  if (block == 0) return i;
  return i / block * block + i % 2 * (block / 2) + i % block / 2;
}

/// Writes element `i`. Distinct elements may be written by distinct threads.
inline void put(packing p, std::byte* packed, std::size_t i, float value) noexcept {
  if (p == packing::bf16) {
    std::uint16_t const bits = io::f32_to_bf16(value);
    std::memcpy(packed + i * sizeof bits, &bits, sizeof bits);
  } else {
    std::memcpy(packed + packed_position(p, i) * sizeof value, &value, sizeof value);
  }
}

[[nodiscard]] inline float to_float(weight_type type, std::uint16_t bits) noexcept {
  return type == weight_type::bf16 ? io::bf16_to_f32(bits) : io::f16_to_f32(bits);
}

namespace detail {

template <packing P, weight_type Type>
void pack_as(std::uint16_t const* x, std::size_t n, std::byte* packed) noexcept {
  for (std::size_t i = 0; i != n; ++i) put(P, packed, i, to_float(Type, x[i]));
}

}  // namespace detail

/// Packs a vector of 16-bit elements. Time O(n), no allocation.
/// @param packed  [packed_bytes(n)] out
/// @pre   p == packing::bf16 only for bf16 elements
inline void pack(packing p, weight_type type, std::uint16_t const* x, std::size_t n, std::byte* packed) noexcept {
  if (type == weight_type::f16) return detail::pack_as<packing::f32, weight_type::f16>(x, n, packed);
  switch (p) {
    case packing::f32:
      return detail::pack_as<packing::f32, weight_type::bf16>(x, n, packed);
    case packing::f32_pairs_16:
      return detail::pack_as<packing::f32_pairs_16, weight_type::bf16>(x, n, packed);
    case packing::f32_pairs_32:
      return detail::pack_as<packing::f32_pairs_32, weight_type::bf16>(x, n, packed);
    case packing::bf16:
      std::memcpy(packed, x, n * sizeof *x);
  }
}

}  // namespace buddy::inline v0::host
