// SPDX-License-Identifier: Apache-2.0
/// @file
/// The parts of one decoding step on the device, as functions that launch them: for any compiler.
///
/// All work on one token, in float, with sums in a fixed order: equal inputs give equal bits. All are ordered on
/// `stream` and do not synchronize; all arrays are in device memory unless said otherwise.
#pragma once

#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/expert_record.hpp>

#include <cuda_runtime_api.h>

#include <cstdint>

namespace harness::device {

/// Longest head that `attend` can hold in registers.
inline constexpr std::uint32_t max_head_dim = 256;

/// y = x / sqrt(mean(x^2) + eps) * gain.
struct norm_arrays {
  float const* x{};         ///< [n]
  float const* gain{};      ///< [n]
  float* y{};               ///< [n]; may be `x`
  std::uint16_t* y_half{};  ///< [n] the same rounded to `half_type`, as the experts read it; null: not wanted
  buddy::weight_type half_type{};
  std::uint32_t n{};
  float eps{};
};
[[nodiscard]] cudaError_t rms_norm(norm_arrays const& a, cudaStream_t stream) noexcept;

/// y = base + A x.
struct product_arrays {
  float const* a{};     ///< [rows, n] row-major
  float const* x{};     ///< [n]
  float const* base{};  ///< [rows]; null: zeros
  float* y{};           ///< [rows]; may be `base`
  std::uint32_t rows{};
  std::uint32_t n{};
};
[[nodiscard]] cudaError_t multiply(product_arrays const& a, cudaStream_t stream) noexcept;

/// One layer's attention for the token at `position`, which sees itself and all before it.
struct attention_arrays {
  float* qkv{};            ///< [q_size + 2 kv_size] projected; queries are turned and scaled in place
  float const* q_norm{};   ///< [head_dim]
  float const* k_norm{};   ///< [head_dim]
  float const* cosines{};  ///< [positions, head_dim / 2]
  float const* sines{};    ///< [positions, head_dim / 2]
  float* keys{};           ///< [n_kv_heads, capacity, head_dim]
  float* values{};         ///< [n_kv_heads, capacity, head_dim]
  float* attended{};       ///< [q_size] out
  std::uint32_t n_heads{};
  std::uint32_t n_kv_heads{};
  std::uint32_t head_dim{};
  std::uint32_t capacity{};
  std::uint32_t position{};
  float eps{};
};
/// Normalises and turns queries and keys, and stores the token's keys and values.
[[nodiscard]] cudaError_t store_heads(attention_arrays const& a, cudaStream_t stream) noexcept;
/// After `store_heads`. @pre head_dim <= max_head_dim
[[nodiscard]] cudaError_t attend(attention_arrays const& a, cudaStream_t stream) noexcept;

/// y += x, [n] both.
[[nodiscard]] cudaError_t add(float const* x, float* y, std::uint32_t n, cudaStream_t stream) noexcept;

/// `buddy::cuda::dispatch`, for who is not compiled by nvcc.
[[nodiscard]] cudaError_t run_experts(buddy::cuda::dispatch_arrays const& a, cudaStream_t stream) noexcept;

}  // namespace harness::device
