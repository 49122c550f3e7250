// SPDX-License-Identifier: Apache-2.0
/// @file
/// Rows times vector with AVX-512, and with its bf16 products.
#pragma once

#include <buddy/host/instruction_set.hpp>
#include <buddy/host/row_dots_avx2.hpp>

#if BUDDY_HAS_X86_KERNELS

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#define BUDDY_TARGET_AVX512 gnu::target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")
#define BUDDY_TARGET_AVX512_BF16 gnu::target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")

// g++ 12 takes the intrinsics' own undefined operands for a mistake of their caller (GCC bug 105593).
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace buddy::inline v0::host::detail {

/// 32 weights from `from`, or the first `count` of them and zeros.
[[BUDDY_TARGET_AVX512]] inline __m512i load_avx512(std::uint16_t const* from, std::uint32_t count) noexcept {
  if (count >= 32) return _mm512_loadu_si512(from);
  return _mm512_maskz_loadu_epi16((std::uint32_t{1} << count) - 1, from);
}

/// 32 bf16 weights times a block of `packing::f32_pairs_32`.
struct add_bf16_avx512 {
  [[BUDDY_TARGET_AVX512]] static void add(__m512i w, std::byte const* x, __m512& a, __m512& b) noexcept {
    __m512i const odd = _mm512_and_si512(w, _mm512_set1_epi32(static_cast<int>(0xffff'0000U)));
    a = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), _mm512_loadu_ps(x), a);
    b = _mm512_fmadd_ps(_mm512_castsi512_ps(odd), _mm512_loadu_ps(x + 64), b);
  }
  static constexpr std::size_t block_bytes = 128;
};

/// 32 f16 weights times 32 floats in order.
struct add_f16_avx512 {
  [[BUDDY_TARGET_AVX512]] static void add(__m512i w, std::byte const* x, __m512& a, __m512& b) noexcept {
    a = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm512_castsi512_si256(w)), _mm512_loadu_ps(x), a);
    b = _mm512_fmadd_ps(_mm512_cvtph_ps(_mm512_extracti64x4_epi64(w, 1)), _mm512_loadu_ps(x + 64), b);
  }
  static constexpr std::size_t block_bytes = 128;
};

template <class Add>
[[BUDDY_TARGET_AVX512]] void row_dots_avx512(std::uint16_t const* rows, std::uint32_t n_rows, std::uint32_t n,
                                             std::byte const* packed, float* out) noexcept {
  for (std::uint32_t r = 0; r != n_rows; ++r, rows += n) {
    __m512 a = _mm512_setzero_ps();
    __m512 b = a;
    __m512 c = a;
    __m512 d = a;
    std::byte const* x = packed;
    std::uint32_t i = 0;
    for (; i + 64 <= n; i += 64, x += 2 * Add::block_bytes) {
      char const* const ahead = reinterpret_cast<char const*>(rows + i) + prefetch_bytes;
      _mm_prefetch(ahead, _MM_HINT_T0);
      _mm_prefetch(ahead + 64, _MM_HINT_T0);
      Add::add(_mm512_loadu_si512(rows + i), x, a, b);
      Add::add(_mm512_loadu_si512(rows + i + 32), x + Add::block_bytes, c, d);
    }
    for (; i < n; i += 32, x += Add::block_bytes) Add::add(load_avx512(rows + i, n - i), x, a, b);
    out[r] = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
  }
}

[[BUDDY_TARGET_AVX512]] inline void row_dots_bf16_avx512(std::uint16_t const* rows, std::uint32_t n_rows,
                                                         std::uint32_t n, std::byte const* packed,
                                                         float* out) noexcept {
  row_dots_avx512<add_bf16_avx512>(rows, n_rows, n, packed, out);
}

[[BUDDY_TARGET_AVX512]] inline void row_dots_f16_avx512(std::uint16_t const* rows, std::uint32_t n_rows,
                                                        std::uint32_t n, std::byte const* packed, float* out) noexcept {
  row_dots_avx512<add_f16_avx512>(rows, n_rows, n, packed, out);
}

/// Both factors bf16, sums float: half the loads of the vector, no unpacking. Flushes subnormal products to zero.
[[BUDDY_TARGET_AVX512_BF16]] inline void row_dots_bf16_avx512_bf16(std::uint16_t const* rows, std::uint32_t n_rows,
                                                                   std::uint32_t n, std::byte const* packed,
                                                                   float* out) noexcept {
  for (std::uint32_t r = 0; r != n_rows; ++r, rows += n) {
    __m512 a = _mm512_setzero_ps();
    __m512 b = a;
    std::byte const* x = packed;
    std::uint32_t i = 0;
    for (; i + 64 <= n; i += 64, x += 128) {
      char const* const ahead = reinterpret_cast<char const*>(rows + i) + prefetch_bytes;
      _mm_prefetch(ahead, _MM_HINT_T0);
      _mm_prefetch(ahead + 64, _MM_HINT_T0);
      a = _mm512_dpbf16_ps(a, (__m512bh)_mm512_loadu_si512(rows + i), (__m512bh)_mm512_loadu_si512(x));
      b = _mm512_dpbf16_ps(b, (__m512bh)_mm512_loadu_si512(rows + i + 32), (__m512bh)_mm512_loadu_si512(x + 64));
    }
    for (; i < n; i += 32, x += 64)
      a = _mm512_dpbf16_ps(a, (__m512bh)load_avx512(rows + i, n - i), (__m512bh)_mm512_loadu_si512(x));
    out[r] = _mm512_reduce_add_ps(_mm512_add_ps(a, b));
  }
}

}  // namespace buddy::inline v0::host::detail

#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#undef BUDDY_TARGET_AVX512
#undef BUDDY_TARGET_AVX512_BF16

#endif
