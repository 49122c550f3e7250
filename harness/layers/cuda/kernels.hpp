// SPDX-License-Identifier: Apache-2.0
/// @file
/// Launches of all kernels that a stack of layers needs, for a compiler that knows no kernels.
#pragma once

#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/cuda/layer_decision.hpp>
#include <buddy/cuda/token_sort.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace harness {

/// Who stands in when the device decides alone.
enum class device_selector : std::uint8_t { none, random_resident, zero_fill };

/// Reads bytes as the other weights of a layer are read. Ordered on `stream`, like all of these.
/// @param sink  [1] written never, or nearly
[[nodiscard]] cudaError_t read_bytes(std::byte const* from, std::size_t n, std::uint32_t* sink, cudaStream_t stream);

/// y[i] += x[i]
[[nodiscard]] cudaError_t add_to(float* y, float const* x, std::uint32_t n, cudaStream_t stream);

/// The step's number, counted on the device so that a captured graph never changes.
[[nodiscard]] cudaError_t count_step(std::uint64_t* step, cudaStream_t stream);

/// `cuda::decide` for experts that the host routed.
[[nodiscard]] cudaError_t decide_layer(buddy::cuda::layer_arrays const& a, device_selector who, std::uint64_t seed,
                                       cudaStream_t stream);

/// `cuda::dispatch`, or `cuda::dispatch_sorted` where there are more routed slots than it takes.
[[nodiscard]] cudaError_t compute_wave(buddy::cuda::dispatch_arrays const& a, buddy::cuda::token_order const& order,
                                       bool early, cudaStream_t stream);

/// `cuda::max_decode_routed`
[[nodiscard]] std::uint32_t most_unsorted() noexcept;

/// `cuda::supports_dependent_launch` of the current device
[[nodiscard]] bool can_launch_early() noexcept;

/// One thread: waits for a word of mapped memory to change, then answers. For the latency of such an echo.
[[nodiscard]] cudaError_t echo_once(std::uint32_t const* request, std::uint32_t* answer, std::uint32_t value,
                                    cudaStream_t stream);

/// A kernel that does nothing.
[[nodiscard]] cudaError_t nothing(cudaStream_t stream);

}  // namespace harness
