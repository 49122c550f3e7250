// SPDX-License-Identifier: Apache-2.0
// Compiled by scripts/check-spills, never run.
// no spills: gate_up_rows_kernel down_rows_kernel gate_up_tiles_kernel down_tiles_kernel combine_kernel
// no spills: sort_tokens_kernel post_mail_kernel add_answer_kernel
#include <buddy/cuda/dispatch.cuh>
#include <buddy/cuda/host_lane.cuh>

namespace device = buddy::cuda;

cudaError_t decode(device::dispatch_arrays const& a, cudaStream_t stream) { return device::dispatch(a, {}, stream); }

cudaError_t prefill(device::dispatch_arrays const& a, device::token_order const& order, cudaStream_t stream) {
  return device::dispatch_sorted(a, order, {}, stream);
}

struct some_words {
  static cudaError_t write(cudaStream_t, std::uint32_t*, std::uint32_t) noexcept { return cudaSuccess; }
  static cudaError_t wait_until(cudaStream_t, std::uint32_t const*, std::uint32_t) noexcept { return cudaSuccess; }
};

cudaError_t leave_and_take(device::host_work const& w, cudaStream_t stream) {
  cudaError_t const left = device::request_host_lane(w, some_words{}, stream);
  return left != cudaSuccess ? left : device::await_host_lane(w, some_words{}, stream);
}
