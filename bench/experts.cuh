// SPDX-License-Identifier: Apache-2.0
// Experts of public models, random ones, and batches that choose among them: what the benchmarks of expert kernels
// share.
#pragma once

#include <buddy/expert_record.hpp>
#include <buddy/splitmix64.hpp>
#include <buddy/types.hpp>

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

/// Sizes of a model's experts.
struct expert_model {
  char const* name;
  buddy::expert_record record;
  std::uint32_t n_experts;
  std::uint32_t top_k;
};

inline constexpr expert_model expert_models[] = {{"deepseek-v2-lite", {2048, 1408, buddy::weight_type::bf16}, 64, 6},
                                                 {"qwen3-30b-a3b", {2048, 768, buddy::weight_type::bf16}, 128, 8},
                                                 {"mixtral-8x7b", {4096, 14336, buddy::weight_type::bf16}, 8, 2}};

/// Random bf16 in [-1/32, 1/32): zeros would be easier on the power, and so faster.
template <class = void>
__global__ void fill_weights(std::uint16_t* data, std::size_t n) {
  std::size_t const stride = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += stride)
    data[i] = static_cast<std::uint16_t>(
        __float_as_uint(static_cast<float>(buddy::splitmix64(i) >> 40) * 0x1p-28F - 0.03125F) >> 16);
}

/// Distinct experts for each token, evenly. @param first  slot of expert 0   @param seed  moves on
inline std::vector<buddy::slot_id> draw_slots(expert_model const& m, std::uint32_t n_tokens, std::uint32_t first,
                                              std::uint64_t& seed) {
  std::vector<buddy::slot_id> slots;
  for (std::uint32_t t = 0; t != n_tokens; ++t) {
    std::vector<buddy::slot_id> own;
    while (own.size() != m.top_k) {
      buddy::slot_id const s{first + buddy::below(buddy::splitmix64(seed++), m.n_experts)};
      if (std::find(own.begin(), own.end(), s) == own.end()) own.push_back(s);
    }
    slots.insert(slots.end(), own.begin(), own.end());
  }
  return slots;
}
