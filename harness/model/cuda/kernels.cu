// SPDX-License-Identifier: Apache-2.0
/// @file
/// Launches.
#include "harness/model/cuda/attention.cuh"
#include "harness/model/cuda/heads.cuh"
#include "harness/model/cuda/kernels.hpp"
#include "harness/model/cuda/norm.cuh"
#include "harness/model/cuda/product.cuh"

#include <buddy/cuda/dependent_launch.cuh>
#include <buddy/cuda/dispatch.cuh>

namespace harness::device {

namespace {

constexpr std::uint32_t blocks(std::uint32_t n, std::uint32_t of) { return (n + of - 1) / of; }

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), std::uint32_t grid, std::uint32_t block, cudaStream_t stream,
                   Arguments const&... arguments) noexcept {
  return buddy::cuda::detail::launch(kernel, grid, block, stream, false, arguments...);
}

}  // namespace

cudaError_t rms_norm(norm_arrays const& a, cudaStream_t stream) noexcept {
  return launch(norm_kernel, 1, norm_warps * 32, stream, a);
}

cudaError_t multiply(product_arrays const& a, cudaStream_t stream) noexcept {
  return launch(product_kernel, blocks(a.rows, product_warps), product_warps * 32, stream, a);
}

cudaError_t store_heads(attention_arrays const& a, cudaStream_t stream) noexcept {
  return launch(heads_kernel, a.n_heads + 2 * a.n_kv_heads, 32, stream, a);
}

cudaError_t attend(attention_arrays const& a, cudaStream_t stream) noexcept {
  if (a.head_dim > max_head_dim) return cudaErrorInvalidValue;
  return launch(attention_kernel, a.n_heads, attention_warps * 32, stream, a);
}

cudaError_t add(float const* x, float* y, std::uint32_t n, cudaStream_t stream) noexcept {
  return launch(sum_kernel, blocks(n, sum_threads), sum_threads, stream, x, y, n);
}

/// Without early starts: the host waits for each layer, so there is little to gain.
cudaError_t run_experts(buddy::cuda::dispatch_arrays const& a, cudaStream_t stream) noexcept {
  return buddy::cuda::dispatch(a, {}, stream);
}

}  // namespace harness::device
