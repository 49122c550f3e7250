// SPDX-License-Identifier: Apache-2.0
/// @file
/// Computes a layer's experts where they are: from the slots of fast memory that the decision named.
#pragma once

#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/cuda/dispatch_rows.cuh>
#include <buddy/cuda/dispatch_tiles.cuh>
#include <buddy/cuda/token_sort.cuh>
#include <buddy/cuda/token_sort.hpp>
#include <buddy/expert_record.hpp>

#include <cuda_runtime.h>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// Most routed slots, n_tokens * top_k, of a batch that `dispatch` computes without a sort.
inline constexpr std::uint32_t max_decode_routed = detail::gathered_groups::capacity;

/// How the kernels are launched. Ask `supports_dependent_launch` once, while setting up.
struct dispatch_options {
  bool dependent_launch{};  ///< start each kernel early; the kernel before on the stream need not cooperate
};

namespace detail {

[[nodiscard]] inline bool can_dispatch(dispatch_arrays const& a) noexcept {
  return a.fits_kernels() && a.pool != nullptr && a.slots != nullptr && a.weights != nullptr && a.x != nullptr &&
         a.y != nullptr && a.workspace != nullptr;
}

template <weight_type Type>
[[nodiscard]] cudaError_t dispatch_as(dispatch_arrays const& a, bool early, cudaStream_t stream) noexcept {
  if (a.n_tokens == 1) return dispatch_rows<Type>(a, early, stream);
  return dispatch_tiles<Type, 2>(a, gathered_groups{}, a.n_routed(), early, stream);
}

}  // namespace detail

/// Decode: y = base + the weighted outputs of each token's experts, added in the order of its routed slots, so equal
/// inputs give equal bits. Slots without a place or with weight 0 add nothing.
///
/// One token: rows times vector, two kernels. More: tokens are grouped by expert inside the kernels, the products go
/// through the tensor cores, each weight is read once; three kernels. Sums are float; with several tokens the inner
/// vectors are rounded to the weights' format. Ordered on `stream`; does not synchronize. No allocation; can be
/// captured in a graph that never changes.
/// @pre   every slot other than `no_slot` lies in the pool
/// @returns the launch's status; `cudaErrorInvalidValue` for sizes that are no multiple of 8, and for more than
///          `max_decode_routed` routed slots
[[nodiscard]] inline cudaError_t dispatch(dispatch_arrays const& a, dispatch_options const& options,
                                          cudaStream_t stream) noexcept {
  if (a.n_tokens == 0) return cudaSuccess;
  if (!detail::can_dispatch(a) || a.n_routed() > max_decode_routed) return cudaErrorInvalidValue;
  if (a.record.type == weight_type::bf16)
    return detail::dispatch_as<weight_type::bf16>(a, options.dependent_launch, stream);
  return detail::dispatch_as<weight_type::f16>(a, options.dependent_launch, stream);
}

/// Prefill: the same for any number of tokens. Routed slots are sorted by expert first; an expert's weights are read
/// once for each `tile_tokens` of its tokens. Four kernels, no host in between; can be captured.
/// @param order  its arrays as documented; `tiles` [token_order::max_tiles(n_routed, n_slots)]
/// @pre   every slot other than `no_slot` is below order.n_slots; n_tokens below 65,536
[[nodiscard]] inline cudaError_t dispatch_sorted(dispatch_arrays const& a, token_order const& order,
                                                 dispatch_options const& options, cudaStream_t stream) noexcept {
  if (a.n_tokens <= 1) return dispatch(a, options, stream);
  if (!detail::can_dispatch(a)) return cudaErrorInvalidValue;
  if (auto const e = sort_tokens(a, order, stream); e != cudaSuccess) return e;
  std::uint32_t const n_tiles = token_order::max_tiles(a.n_routed(), order.n_slots);
  constexpr std::uint32_t blocks = tile_tokens / fragment::tokens;
  bool const early = options.dependent_launch;
  if (a.record.type == weight_type::bf16)
    return detail::dispatch_tiles<weight_type::bf16, blocks>(a, detail::sorted_groups{order}, n_tiles, early, stream);
  return detail::dispatch_tiles<weight_type::f16, blocks>(a, detail::sorted_groups{order}, n_tiles, early, stream);
}

}  // namespace buddy::inline v0::cuda
