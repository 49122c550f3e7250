// SPDX-License-Identifier: Apache-2.0
// Stands in for the header of the same name: the instructions as the PTX ISA describes them.
#pragma once

#include <buddy/expert_record.hpp>
#include <buddy/io/half.hpp>

#include <cuda_runtime.h>

#include <cstdint>

namespace buddy::inline v0::cuda::detail {

inline void prefetch_line(void const*) {}

/// Element (row, k) of the 16-row operand is in lane row % 8 * 4 + k % 8 / 2, word row / 8 + k / 8 * 2, half k % 2;
/// element (k, column) of the other in lane column * 4 + k % 8 / 2, word k / 8.
template <weight_type Type>
void mma_m16n8k16(float (&sums)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t a2, std::uint32_t a3,
                  std::uint32_t b0, std::uint32_t b1) {
  auto const half = [](std::uint32_t word, std::uint32_t k) {
    auto const bits = static_cast<std::uint16_t>(word >> (16 * (k % 2)));
    return Type == weight_type::bf16 ? io::bf16_to_f32(bits) : io::f16_to_f32(bits);
  };
  emulated::exchange({a0, a1, a2, a3, b0, b1}, [&](emulated::warp_state const& w) {
    std::uint32_t const lane = threadIdx.x % 32;
    for (std::uint32_t i = 0; i != 4; ++i) {
      std::uint32_t const row = lane / 4 + i / 2 * 8;
      std::uint32_t const column = lane % 4 * 2 + i % 2;
      for (std::uint32_t k = 0; k != 16; ++k)
        sums[i] += half(w.words[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k) *
                   half(w.words[column * 4 + k % 8 / 2][4 + k / 8], k);
    }
    return 0;
  });
}

}  // namespace buddy::inline v0::cuda::detail
