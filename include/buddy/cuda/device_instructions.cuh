// SPDX-License-Identifier: Apache-2.0
/// @file
/// The instructions that have no name in CUDA C++.
#pragma once

#include <buddy/expert_record.hpp>

#include <cuda_runtime.h>

#include <cstdint>

namespace buddy::inline v0::cuda::detail {

/// Asks for one line of 128 bytes, into the second-level cache.
__device__ inline void prefetch_line(void const* line) { asm volatile("prefetch.global.L2 [%0];" ::"l"(line)); }

/// sums += a 16 x 16 piece times a 16 x 8 piece, by all lanes of a warp; sums are float.
template <weight_type Type>
__device__ void mma_m16n8k16(float (&sums)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t a2, std::uint32_t a3,
                             std::uint32_t b0, std::uint32_t b1) {
  if constexpr (Type == weight_type::bf16)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

}  // namespace buddy::inline v0::cuda::detail
