// SPDX-License-Identifier: Apache-2.0
/// @file
/// Several copies in one call of the runtime, where it has such a call.
#pragma once

#include <buddy/assert.hpp>

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>

namespace buddy::inline v0::cuda {

/// When the device may read the sources of a batch.
enum class source_order {
  of_the_stream,  ///< in the order of the stream
  any,            ///< at any time: nobody ever writes them
};

/// Copies from the host to the device that may be done in any order among themselves.
///
/// One call for many small copies costs about as much as one copy. It is used for two or more; callers keep copies
/// below 256 KiB apart from larger ones, because a mixture was seen to hold up the calling thread until all had landed.
/// The hint to overlap with kernels is left out: it slows large copies down. No allocation.
class memcpy_batch {
 public:
  static constexpr std::size_t capacity = 64;

  void clear() noexcept { size_ = 0; }
  [[nodiscard]] bool full() const noexcept { return size_ == capacity; }

  /// @pre !full(). An empty copy is left out.
  void add(void* to, void const* from, std::size_t bytes) noexcept {
    BUDDY_ASSERT(!full());
    if (bytes == 0) return;
    to_[size_] = to;
    from_[size_] = from;
    bytes_[size_++] = bytes;
  }

  /// Sends what was added, and is empty then. Ordered on `stream` as a whole; does not synchronize.
  /// @pre the stream is not the legacy default stream, and is not being captured
  /// @returns the first error; what came before it may be on its way
  [[nodiscard]] cudaError_t send([[maybe_unused]] source_order order, cudaStream_t stream) noexcept {
    std::size_t const n = size_;
    size_ = 0;
#if CUDART_VERSION >= 13000  // earlier ones want one argument more
    if (n >= 2) {
      cudaMemcpyAttributes how{};
      how.srcAccessOrder = order == source_order::any ? cudaMemcpySrcAccessOrderAny : cudaMemcpySrcAccessOrderStream;
      std::size_t first = 0;
      return cudaMemcpyBatchAsync(to_.data(), from_.data(), bytes_.data(), n, &how, &first, 1, stream);
    }
#endif
    for (std::size_t i = 0; i != n; ++i) {
      cudaError_t const code = cudaMemcpyAsync(to_[i], from_[i], bytes_[i], cudaMemcpyHostToDevice, stream);
      if (code != cudaSuccess) return code;
    }
    return cudaSuccess;
  }

 private:
  std::array<void*, capacity> to_{};
  std::array<void const*, capacity> from_{};
  std::array<std::size_t, capacity> bytes_{};
  std::size_t size_{};
};

}  // namespace buddy::inline v0::cuda
