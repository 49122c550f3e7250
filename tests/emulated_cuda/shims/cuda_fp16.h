// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <buddy/io/half.hpp>

#include "cuda_runtime_api.h"

struct __half {
  std::uint16_t bits;
};
struct __half2 {
  __half x, y;
};
inline __half __ushort_as_half(unsigned short x) { return {x}; }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline float2 __half22float2(__half2 v) { return {buddy::io::f16_to_f32(v.x.bits), buddy::io::f16_to_f32(v.y.bits)}; }
inline __half __float2half_rn(float x) { return {buddy::io::f32_to_f16(x)}; }
