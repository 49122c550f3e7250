// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <buddy/io/half.hpp>

#include "cuda_runtime_api.h"

struct __nv_bfloat16 {
  std::uint16_t bits;
};
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return {buddy::io::f32_to_bf16(x)}; }
