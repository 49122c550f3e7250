// SPDX-License-Identifier: Apache-2.0
/// @file
/// A matrix product whose rows do not know of each other: the same bits whatever else is in the batch.
#pragma once

#include <buddy/config.hpp>

#include <cstdint>
#include <cstring>

namespace buddy::inline v0::torch {

namespace detail {

typedef float eight_floats __attribute__((vector_size(32)));

/// Row-major operands of y = x w^T.
struct product_operands {
  float const* w;  ///< [n_out, n_in]
  float const* x;  ///< [n_rows, n_in]
  float* y;        ///< [n_rows, n_out]
  std::int64_t n_out, n_in;
};

/// O outputs of R rows. Each sum runs in eight lanes from the left and is folded in one order, whatever O and R.
template <int O, int R>
[[gnu::always_inline]] inline void product_tile(product_operands const& p, std::int64_t row, std::int64_t out) {
  eight_floats sum[O][R] = {};
  std::int64_t const whole = p.n_in / 8 * 8;
  for (std::int64_t i = 0; i != whole; i += 8) {
    eight_floats x[R];
    for (int r = 0; r != R; ++r) std::memcpy(&x[r], p.x + (row + r) * p.n_in + i, sizeof x[r]);
    for (int o = 0; o != O; ++o) {
      eight_floats w;
      std::memcpy(&w, p.w + (out + o) * p.n_in + i, sizeof w);
      for (int r = 0; r != R; ++r) sum[o][r] += w * x[r];
    }
  }
  for (int o = 0; o != O; ++o)
    for (int r = 0; r != R; ++r) {
      auto const& s = sum[o][r];
      float total = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
      for (std::int64_t i = whole; i != p.n_in; ++i) total += p.w[(out + o) * p.n_in + i] * p.x[(row + r) * p.n_in + i];
      p.y[(row + r) * p.n_out + out + o] = total;
    }
}

template <int R>
[[gnu::always_inline]] inline void product_rows(product_operands const& p, std::int64_t row) {
  std::int64_t out = 0;
  for (; out + 4 <= p.n_out; out += 4) product_tile<4, R>(p, row, out);
  for (; out != p.n_out; ++out) product_tile<1, R>(p, row, out);
}

[[gnu::always_inline]] inline void product_body(product_operands const& p, std::int64_t n_rows) {
  std::int64_t row = 0;
  for (; row + 2 <= n_rows; row += 2) product_rows<2>(p, row);
  if (row != n_rows) product_rows<1>(p, row);
}

inline void product_baseline(product_operands const& p, std::int64_t n_rows) { product_body(p, n_rows); }

#if defined(BUDDY_AVX2)
BUDDY_AVX2 inline void product_avx2(product_operands const& p, std::int64_t n_rows) { product_body(p, n_rows); }
#endif

}  // namespace detail

/// y = x w^T, each row by itself.
///
/// A batched product picks its order of additions by the number of rows, so that a token's last bits depend on who else
/// is there; with experts spread over processes that would depend on the number of processes.
/// @param w  [n_out, n_in]   @param x  [n_rows, n_in]   @param y  [n_rows, n_out] out
inline void row_product(float const* w, std::int64_t n_out, std::int64_t n_in, float const* x, std::int64_t n_rows,
                        float* y) {
  detail::product_operands const p{w, x, y, n_out, n_in};
#if defined(BUDDY_AVX2)
  if (__builtin_cpu_supports("avx2")) return detail::product_avx2(p, n_rows);
#endif
  detail::product_baseline(p, n_rows);
}

}  // namespace buddy::inline v0::torch
