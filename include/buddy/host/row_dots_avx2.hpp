// SPDX-License-Identifier: Apache-2.0
/// @file
/// Rows times vector with AVX2, FMA and F16C.
///
/// The rows are one stream of memory: what is prefetched behind a row's end is the next row. Every function states its
/// target, since a host compiles for the CPU that it ships to, not for this one; g++ does not pass a function's target
/// on to lambdas in it, so there are none.
#pragma once

#include <buddy/host/instruction_set.hpp>

#if BUDDY_HAS_X86_KERNELS

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace buddy::inline v0::host::detail {

/// How far ahead of its loads a kernel asks for memory; 4 to 16 KiB measure alike, 1 KiB is slower.
inline constexpr std::size_t prefetch_bytes = 8192;

[[gnu::target("avx2,fma,f16c")]] inline float sum_avx2(__m256 v) noexcept {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  s = _mm_add_ss(s, _mm_movehdup_ps(s));
  return _mm_cvtss_f32(s);
}

/// 16 weights from `from`, or the first `count` of them and zeros.
[[gnu::target("avx2,fma,f16c")]] inline __m256i load_avx2(std::uint16_t const* from, std::uint32_t count) noexcept {
  if (count >= 16) return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(from));
  std::uint16_t rest[16] = {};
  std::memcpy(rest, from, count * sizeof *from);
  return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(rest));
}

/// a += 16 bf16 weights times a block of `packing::f32_pairs_16`.
[[gnu::target("avx2,fma,f16c")]] inline void add_bf16_avx2(__m256i w, float const* x, __m256& a, __m256& b) noexcept {
  __m256 const even = _mm256_castsi256_ps(_mm256_slli_epi32(w, 16));
  __m256 const odd = _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(static_cast<int>(0xffff'0000U))));
  a = _mm256_fmadd_ps(even, _mm256_loadu_ps(x), a);
  b = _mm256_fmadd_ps(odd, _mm256_loadu_ps(x + 8), b);
}

/// a += 16 f16 weights times 16 floats in order.
[[gnu::target("avx2,fma,f16c")]] inline void add_f16_avx2(__m256i w, float const* x, __m256& a, __m256& b) noexcept {
  a = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(w)), _mm256_loadu_ps(x), a);
  b = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(w, 1)), _mm256_loadu_ps(x + 8), b);
}

template <void (*Add)(__m256i, float const*, __m256&, __m256&) noexcept>
[[gnu::target("avx2,fma,f16c")]] void row_dots_avx2(std::uint16_t const* rows, std::uint32_t n_rows, std::uint32_t n,
                                                    std::byte const* packed, float* out) noexcept {
  float const* const x = reinterpret_cast<float const*>(packed);
  for (std::uint32_t r = 0; r != n_rows; ++r, rows += n) {
    __m256 a = _mm256_setzero_ps();
    __m256 b = a;
    __m256 c = a;
    __m256 d = a;
    std::uint32_t i = 0;
    for (; i + 32 <= n; i += 32) {
      _mm_prefetch(reinterpret_cast<char const*>(rows + i) + prefetch_bytes, _MM_HINT_T0);
      Add(load_avx2(rows + i, 16), x + i, a, b);
      Add(load_avx2(rows + i + 16, 16), x + i + 16, c, d);
    }
    for (; i < n; i += 16) Add(load_avx2(rows + i, n - i), x + i, a, b);
    out[r] = sum_avx2(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
  }
}

[[gnu::target("avx2,fma,f16c")]] inline void row_dots_bf16_avx2(std::uint16_t const* rows, std::uint32_t n_rows,
                                                                std::uint32_t n, std::byte const* packed,
                                                                float* out) noexcept {
  row_dots_avx2<add_bf16_avx2>(rows, n_rows, n, packed, out);
}

[[gnu::target("avx2,fma,f16c")]] inline void row_dots_f16_avx2(std::uint16_t const* rows, std::uint32_t n_rows,
                                                               std::uint32_t n, std::byte const* packed,
                                                               float* out) noexcept {
  row_dots_avx2<add_f16_avx2>(rows, n_rows, n, packed, out);
}

}  // namespace buddy::inline v0::host::detail

#endif
