// SPDX-License-Identifier: Apache-2.0
/// @file
/// Prefill through cuBLAS: the experts of a large batch, one after another, two matrix products each.
///
/// Needs <cublas_v2.h>, and a program that links cuBLAS; nothing else in the library does.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/dependent_launch.cuh>
#include <buddy/cuda/dispatch.cuh>
#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/cuda/half_math.cuh>
#include <buddy/cuda/token_sort.cuh>
#include <buddy/cuda/token_sort.hpp>
#include <buddy/expert_record.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::cuda {

/// Places in `dispatch_arrays::workspace` of the rows in sorted order. All begin at multiples of 16 bytes.
struct cublas_workspace {
  std::uint16_t* x{};      ///< [n_routed, hidden] each row's token
  std::uint16_t* inner{};  ///< [n_routed, width] silu(gate x) * up x
  float* products{};       ///< [n_routed, 2 width] gate x and up x; later [n_routed, hidden] down inner
  std::uint32_t* place{};  ///< [n_routed] the row of each routed slot that contributes

  [[nodiscard]] BUDDY_HD static cublas_workspace of(dispatch_arrays const& a) noexcept {
    cublas_workspace w{};
    w.x = reinterpret_cast<std::uint16_t*>(a.workspace);
    w.inner = w.x + std::size_t{a.n_routed()} * a.record.hidden;
    w.products = reinterpret_cast<float*>(w.inner + std::size_t{a.n_routed()} * a.record.width);
    w.place = reinterpret_cast<std::uint32_t*>(w.products + std::size_t{a.n_routed()} * product_length(a.record));
    return w;
  }

  /// Bytes of `dispatch_arrays::workspace` that `dispatch_cublas` needs: 14 MB per thousand routed slots of a
  /// 2048 x 768 expert.
  [[nodiscard]] BUDDY_HD static constexpr std::size_t bytes(dispatch_arrays const& a) noexcept {
    std::size_t const row = (std::size_t{a.record.hidden} + a.record.width) * sizeof(std::uint16_t) +
                            product_length(a.record) * sizeof(float) + sizeof(std::uint32_t);
    return a.n_routed() * row;
  }

 private:
  [[nodiscard]] BUDDY_HD static constexpr std::size_t product_length(expert_record const& r) noexcept {
    std::size_t const gate_up = 2 * std::size_t{r.width};
    return gate_up > r.hidden ? gate_up : r.hidden;
  }
};

/// Counts a batch's routed slots by the slot that computes them, on the host: those that `sort_tokens` sorts.
/// @param slots    [n_routed] of the plan, each `no_slot` or below counts.size
/// @param weights  [n_routed] of the plan
/// @param counts   [n_slots] out
inline void count_by_slot(view<slot_id const> slots, view<float const> weights, view<std::uint32_t> counts) noexcept {
  for (std::uint32_t& count : counts) count = 0;
  for (std::uint32_t i = 0; i != slots.size; ++i)
    if (contributes(slots[i], weights[i])) ++counts[static_cast<std::uint32_t>(slots[i])];
}

namespace detail {

inline constexpr std::uint32_t row_threads = 128;

/// Row p of the sorted batch gets its token's vector; every routed slot learns its row. Grid (n_routed).
template <class = void>
BUDDY_KERNEL void __launch_bounds__(row_threads) gather_rows_kernel(dispatch_arrays a, token_order order) {
  std::uint32_t const row = blockIdx.x;
  if (row >= order.offsets[order.n_slots]) return;
  std::uint32_t const routed = order.order[row];
  auto const w = cublas_workspace::of(a);
  if (threadIdx.x == 0) w.place[routed] = row;
  auto const* const from = reinterpret_cast<uint4 const*>(a.x + std::size_t{routed / a.top_k} * a.record.hidden);
  auto* const to = reinterpret_cast<uint4*>(w.x + std::size_t{row} * a.record.hidden);
  for (std::uint32_t i = threadIdx.x; i < a.record.hidden / 8; i += row_threads) to[i] = from[i];
}

/// inner = silu(gate x) * up x. Grid (n_routed).
template <weight_type Type>
BUDDY_KERNEL void __launch_bounds__(row_threads) activate_rows_kernel(dispatch_arrays a, token_order order) {
  std::uint32_t const row = blockIdx.x;
  if (row >= order.offsets[order.n_slots]) return;
  auto const w = cublas_workspace::of(a);
  std::uint32_t const width = a.record.width;
  float const* const gate = w.products + std::size_t{row} * 2 * width;
  for (std::uint32_t i = threadIdx.x; i < width; i += row_threads)
    w.inner[std::size_t{row} * width + i] = to_half<Type>(silu(gate[i]) * gate[width + i]);
}

/// y[t] = base[t] + the weighted outputs of its routed slots, in their order. Grid (hidden / 512, n_tokens).
template <class = void>
BUDDY_KERNEL void __launch_bounds__(row_threads) combine_rows_kernel(dispatch_arrays a) {
  std::uint32_t const column = (blockIdx.x * row_threads + threadIdx.x) * 4;
  std::uint32_t const hidden = a.record.hidden;
  if (column >= hidden) return;
  auto const w = cublas_workspace::of(a);
  std::size_t const at = std::size_t{blockIdx.y} * hidden + column;
  float4 sum = a.base == nullptr ? float4{} : *reinterpret_cast<float4 const*>(a.base + at);
  for (std::uint32_t s = 0; s != a.top_k; ++s) {
    std::uint32_t const i = blockIdx.y * a.top_k + s;
    float const weight = a.weights[i];
    if (!contributes(a.slots[i], weight)) continue;
    float4 const v = *reinterpret_cast<float4 const*>(w.products + std::size_t{w.place[i]} * hidden + column);
    sum.x += weight * v.x, sum.y += weight * v.y, sum.z += weight * v.z, sum.w += weight * v.w;
  }
  *reinterpret_cast<float4*>(a.y + at) = sum;
}

/// cuBLAS numbers its errors in its own way.
[[nodiscard]] inline cudaError_t as_runtime_error(cublasStatus_t status) noexcept {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return cudaSuccess;
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return cudaErrorInitializationError;
    case CUBLAS_STATUS_ALLOC_FAILED:
      return cudaErrorMemoryAllocation;
    case CUBLAS_STATUS_INVALID_VALUE:
      return cudaErrorInvalidValue;
    default:
      return cudaErrorUnknown;
  }
}

/// out [count, rows] = in [count, columns] times the transpose of matrix [rows, columns], all row-major.
[[nodiscard]] inline cudaError_t multiply_rows(cublasHandle_t handle, weight_type type, std::byte const* matrix,
                                               std::uint32_t rows, std::uint32_t columns, std::uint16_t const* in,
                                               std::uint32_t count, float* out) noexcept {
  cudaDataType_t const half = type == weight_type::bf16 ? CUDA_R_16BF : CUDA_R_16F;
  float const one = 1.0F;
  float const zero = 0.0F;
  auto const n = [](std::uint32_t x) { return static_cast<int>(x); };
  return as_runtime_error(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, n(rows), n(count), n(columns), &one, matrix,
                                       half, n(columns), in, half, n(columns), &zero, out, CUDA_R_32F, n(rows),
                                       CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

/// Calls f(slot, its first row, its rows) for each slot with rows, until one fails.
template <class F>
[[nodiscard]] cudaError_t for_each_slot(view<std::uint32_t const> counts, F const& f) noexcept {
  std::uint32_t first = 0;
  for (std::uint32_t s = 0; s != counts.size; first += counts[s++]) {
    if (counts[s] == 0) continue;
    if (auto const e = f(slot_id{s}, first, counts[s]); e != cudaSuccess) return e;
  }
  return cudaSuccess;
}

template <weight_type Type>
[[nodiscard]] cudaError_t multiply_all(dispatch_arrays const& a, token_order const& order,
                                       view<std::uint32_t const> counts, cublasHandle_t handle,
                                       cudaStream_t stream) noexcept {
  auto const w = cublas_workspace::of(a);
  std::uint32_t const hidden = a.record.hidden;
  std::uint32_t const width = a.record.width;
  // gate and up lie behind one another: one product for both
  auto const gate_up = [&](slot_id slot, std::uint32_t first, std::uint32_t count) {
    return multiply_rows(handle, Type, a.record_in(slot), 2 * width, hidden, w.x + std::size_t{first} * hidden, count,
                         w.products + std::size_t{first} * 2 * width);
  };
  auto const down = [&](slot_id slot, std::uint32_t first, std::uint32_t count) {
    return multiply_rows(handle, Type, a.record_in(slot) + a.record.down_offset(), hidden, width,
                         w.inner + std::size_t{first} * width, count, w.products + std::size_t{first} * hidden);
  };
  if (auto const e = for_each_slot(counts, gate_up); e != cudaSuccess) return e;
  if (auto const e = launch(activate_rows_kernel<Type>, a.n_routed(), row_threads, stream, false, a, order);
      e != cudaSuccess)
    return e;
  return for_each_slot(counts, down);
}

}  // namespace detail

/// Prefill like `dispatch_sorted`, by cuBLAS: the faster way where experts have many tokens each.
///
/// The host launches two products for each expert of the batch, so it must know how many rows each has; it does not
/// wait. Ordered on `stream`; no allocation but what cuBLAS takes for itself at its first product. Equal inputs give
/// equal bits on one device and stream. Sets the handle's stream.
/// @param a       `workspace` of `cublas_workspace::bytes(a)`
/// @param order   as for `dispatch_sorted`
/// @param counts  [order.n_slots] rows of each slot, host memory: `count_by_slot` of the same slots and weights
/// @param handle  whose scalars are the host's (the default)
/// @pre   every slot other than `no_slot` is below order.n_slots; n_tokens below 65,536
/// @returns what failed first; `cudaErrorInvalidValue` for sizes that are no multiple of 8, and for counts of another
///          number of slots
[[nodiscard]] inline cudaError_t dispatch_cublas(dispatch_arrays const& a, token_order const& order,
                                                 view<std::uint32_t const> counts, cublasHandle_t handle,
                                                 cudaStream_t stream) noexcept {
  if (a.n_tokens == 0) return cudaSuccess;
  if (!detail::can_dispatch(a) || counts.size != order.n_slots) return cudaErrorInvalidValue;
  if (auto const e = detail::as_runtime_error(cublasSetStream(handle, stream)); e != cudaSuccess) return e;
  if (auto const e = sort_tokens(a, order, stream); e != cudaSuccess) return e;
  if (auto const e =
          detail::launch(detail::gather_rows_kernel<>, a.n_routed(), detail::row_threads, stream, false, a, order);
      e != cudaSuccess)
    return e;
  auto const e = a.record.type == weight_type::bf16
                     ? detail::multiply_all<weight_type::bf16>(a, order, counts, handle, stream)
                     : detail::multiply_all<weight_type::f16>(a, order, counts, handle, stream);
  if (e != cudaSuccess) return e;
  constexpr std::uint32_t columns = detail::row_threads * 4;
  dim3 const grid{(a.record.hidden + columns - 1) / columns, a.n_tokens};
  return detail::launch(detail::combine_rows_kernel<>, grid, detail::row_threads, stream, false, a);
}

}  // namespace buddy::inline v0::cuda
