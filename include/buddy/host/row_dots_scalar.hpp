// SPDX-License-Identifier: Apache-2.0
/// @file
/// Rows times vector, the reference: what every vector kernel computes, up to the order of its sums.
#pragma once

#include <buddy/io/half.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace buddy::inline v0::host {

/// Rows times one packed vector.
///
/// @param rows    [n_rows, n] 16-bit weights
/// @param packed  [n] in the kernel's packing, padded
/// @param out     [n_rows] sums, accumulated in float
using row_dots = void (*)(std::uint16_t const* rows, std::uint32_t n_rows, std::uint32_t n, std::byte const* packed,
                          float* out) noexcept;

namespace detail {

template <float (*ToFloat)(std::uint16_t) noexcept>
void row_dots_scalar(std::uint16_t const* rows, std::uint32_t n_rows, std::uint32_t n, std::byte const* packed,
                     float* out) noexcept {
  for (std::uint32_t r = 0; r != n_rows; ++r) {
    float sum = 0.0F;
    for (std::uint32_t i = 0; i != n; ++i) {
      float x = 0.0F;
      std::memcpy(&x, packed + i * sizeof x, sizeof x);
      sum += ToFloat(rows[std::size_t{r} * n + i]) * x;
    }
    out[r] = sum;
  }
}

inline void row_dots_bf16_scalar(std::uint16_t const* rows, std::uint32_t n_rows, std::uint32_t n,
                                 std::byte const* packed, float* out) noexcept {
  row_dots_scalar<io::bf16_to_f32>(rows, n_rows, n, packed, out);
}

inline void row_dots_f16_scalar(std::uint16_t const* rows, std::uint32_t n_rows, std::uint32_t n,
                                std::byte const* packed, float* out) noexcept {
  row_dots_scalar<io::f16_to_f32>(rows, n_rows, n, packed, out);
}

}  // namespace detail

}  // namespace buddy::inline v0::host
