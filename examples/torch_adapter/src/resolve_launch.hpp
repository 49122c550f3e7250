// SPDX-License-Identifier: Apache-2.0
/// @file
/// Between the operator and the kernel: pointers only, so that nvcc sees no header of LibTorch and the host compiler no
/// kernel.
#pragma once

#include <buddy/fixed_point.hpp>
#include <buddy/policy_config.hpp>
#include <buddy/types.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::torch {

/// Device memory of one batch.
struct resolve_arrays {
  std::uint32_t n_tokens{};
  std::uint16_t n_experts{};
  std::uint16_t top_k{};
  std::int64_t const* ids{};   ///< [n_tokens, top_k]
  float const* weights{};      ///< [n_tokens, top_k]
  float const* scores{};       ///< [n_tokens, n_experts]
  slot_id const* slot_of{};    ///< [n_experts]
  std::byte* work{};           ///< `resolve_work_bytes`, 8-byte aligned
  slot_id* slots{};            ///< [n_tokens, top_k] out
  float* slot_weights{};       ///< [n_tokens, top_k] out
  std::int8_t* resolutions{};  ///< [n_tokens, top_k] out
};

/// Bytes of work space for so many routed slots.
[[nodiscard]] std::size_t resolve_work_bytes(std::uint32_t n_slots) noexcept;

/// Ordered on `stream`; does not synchronize, allocates nothing, can be captured in a graph.
[[nodiscard]] cudaError_t launch_resolve(resolve_arrays const& a, policy_config const& config, q16 protect_share_q16,
                                         cudaStream_t stream);

}  // namespace buddy::inline v0::torch
