// SPDX-License-Identifier: Apache-2.0
// Compiled by scripts/check-spills, never run.
// no spills: gate_up_rows_kernel down_rows_kernel gate_up_tiles_kernel down_tiles_kernel combine_kernel
// no spills: sort_tokens_kernel post_mail_kernel add_answer_kernel write_word_kernel await_word_kernel
// no spills: gather_rows_kernel activate_rows_kernel combine_rows_kernel
#include <buddy/cuda/dispatch.cuh>
#include <buddy/cuda/dispatch_cublas.cuh>
#include <buddy/cuda/host_lane.cuh>
#include <buddy/cuda/kernel_words.cuh>

namespace device = buddy::cuda;

cudaError_t decode(device::dispatch_arrays const& a, cudaStream_t stream) { return device::dispatch(a, {}, stream); }

cudaError_t prefill(device::dispatch_arrays const& a, device::token_order const& order, cudaStream_t stream) {
  return device::dispatch_sorted(a, order, {}, stream);
}

cudaError_t prefill(device::dispatch_arrays const& a, device::token_order const& order,
                    buddy::view<std::uint32_t const> counts, cublasHandle_t handle, cudaStream_t stream) {
  return device::dispatch_cublas(a, order, counts, handle, stream);
}

cudaError_t leave_and_take(device::host_work const& w, cudaStream_t stream) {
  cudaError_t const left = device::request_host_lane(w, device::kernel_words{}, stream);
  return left != cudaSuccess ? left : device::await_host_lane(w, device::kernel_words{}, stream);
}
