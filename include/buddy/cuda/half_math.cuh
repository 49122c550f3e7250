// SPDX-License-Identifier: Apache-2.0
/// @file
/// 16-bit operands on the device: loads, conversions, and the product of a tensor core.
#pragma once

#include <buddy/cuda/device_instructions.cuh>
#include <buddy/cuda/mma_fragment.hpp>
#include <buddy/expert_record.hpp>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::cuda::detail {

/// Eight weights that are read once: they should not push anything else out of the caches.
[[nodiscard]] __device__ inline chunk load_streaming(std::uint16_t const* from) {
  uint4 const v = __ldcs(reinterpret_cast<uint4 const*>(from));
  return {{v.x, v.y, v.z, v.w}};
}

[[nodiscard]] __device__ inline chunk load_cached(std::uint16_t const* from) {
  uint4 const v = *reinterpret_cast<uint4 const*>(from);
  return {{v.x, v.y, v.z, v.w}};
}

/// Asks for the first lines of a row, one line a lane. Weights only: what a predecessor still writes must not be asked
/// for.
__device__ inline void prefetch_row(std::uint16_t const* row, std::uint32_t n, std::uint32_t lane) {
  constexpr std::uint32_t line = 128 / sizeof *row;
  if (lane * line < n) prefetch_line(row + lane * line);
}

/// The two elements of a word, the lower first.
template <weight_type Type>
[[nodiscard]] __device__ float2 to_floats(std::uint32_t word) {
  if constexpr (Type == weight_type::bf16)
    return {__uint_as_float(word << 16), __uint_as_float(word & 0xffff'0000U)};
  else
    return __half22float2(__halves2half2(__ushort_as_half(static_cast<unsigned short>(word)),
                                         __ushort_as_half(static_cast<unsigned short>(word >> 16))));
}

/// Nearest 16-bit value; in f16 the largest finite one where a float is larger, since an infinity would spread over the
/// whole token. A NaN stays one.
template <weight_type Type>
[[nodiscard]] __device__ std::uint16_t to_half(float x) {
  if constexpr (Type == weight_type::bf16) {
    return __bfloat16_as_ushort(__float2bfloat16_rn(x));
  } else {
    constexpr float largest = 65504.0F;
    x = x > largest ? largest : x;
    x = x < -largest ? -largest : x;
    return __half_as_ushort(__float2half_rn(x));
  }
}

/// Without the division's slow path, a call that costs registers: 0 instead of numbers below 1e-36.
[[nodiscard]] __device__ inline float silu(float x) { return __fdividef(x, 1.0F + __expf(-x)); }

/// sums += a 16 x 16 piece of weights times 16 x 8 of tokens: product j of a step.
template <weight_type Type>
__device__ void multiply(float (&sums)[4], chunk const& upper, chunk const& lower, chunk const& token,
                         std::uint32_t j) {
  using fragment::tokens_register;
  using fragment::weights_register;
  mma_m16n8k16<Type>(sums, weights_register(upper, lower, j, 0), weights_register(upper, lower, j, 1),
                     weights_register(upper, lower, j, 2), weights_register(upper, lower, j, 3),
                     tokens_register(token, j, 0), tokens_register(token, j, 1));
}

}  // namespace buddy::inline v0::cuda::detail
