// SPDX-License-Identifier: Apache-2.0
/// @file
/// The 32 lanes that decide for one token, as the warp algorithms see them.
#pragma once

#include <buddy/cuda/miss_ring.cuh>

#include <cuda_runtime_api.h>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// The calling warp. Each verb is called by all of its 32 lanes; `emulated_warp` has the same verbs and runs
/// them in a loop, so that what is written against them is tested without a device.
struct device_warp {
  static constexpr std::uint32_t n_lanes = 32;
  static constexpr std::uint32_t all = 0xffff'ffffU;
  using memory = device_memory;

  [[nodiscard]] static __device__ std::uint32_t lane() noexcept { return threadIdx.x % n_lanes; }

  /// What each lane computes, one value a lane.
  template <class F>
  [[nodiscard]] __device__ auto map(F const& f) const noexcept {
    return f(lane());
  }

  /// One lane's value.
  template <class T>
  [[nodiscard]] static __device__ T& of(T& value, std::uint32_t) noexcept {
    return value;
  }

  template <class F>
  __device__ void each(F const& f) const noexcept {
    f(lane());
  }

  /// The first lane's value, for all.
  [[nodiscard]] static __device__ std::uint32_t same(std::uint32_t value) noexcept {
    return __shfl_sync(all, value, 0);
  }

  /// By one lane.
  template <class F>
  __device__ void once(F const& f) const noexcept {
    if (lane() == 0) f();
  }

  [[nodiscard]] __device__ std::uint32_t max(std::uint32_t value) const noexcept {
    return __reduce_max_sync(all, value);
  }
  [[nodiscard]] __device__ std::uint32_t min(std::uint32_t value) const noexcept {
    return __reduce_min_sync(all, value);
  }
  [[nodiscard]] __device__ std::uint32_t sum(std::uint32_t value) const noexcept {
    return __reduce_add_sync(all, value);
  }
  [[nodiscard]] __device__ std::uint64_t sum(std::uint64_t value) const noexcept {
    for (std::uint32_t step = n_lanes / 2; step != 0; step /= 2) value += __shfl_xor_sync(all, value, step);
    return value;
  }

  /// Sets a bit that several warps of the block may set. @param words shared memory
  __device__ void set_bit(std::uint32_t* words, std::uint32_t i) const noexcept {
    atomicOr(words + i / 32, 1U << (i % 32));
  }

  /// What the lanes wrote to memory can be read by the others.
  __device__ void sync() const noexcept { __syncwarp(); }
};

}  // namespace buddy::inline v0::cuda
