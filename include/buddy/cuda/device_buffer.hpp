// SPDX-License-Identifier: Apache-2.0
/// @file
/// Memory of the device that frees itself.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/cuda/check.hpp>
#include <buddy/error.hpp>
#include <buddy/view.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace buddy::inline v0::cuda {

/// Owns an array in the memory of the current device. Taken while setting up, never on the hot path.
template <class T>
  requires std::is_trivially_copyable_v<T>
class device_buffer {
 public:
  device_buffer() noexcept = default;

  /// Not initialised. @throws config_error when the bytes are too many to count, cuda_error when the device has not got
  /// them
  explicit device_buffer(std::size_t size) {
    if (size > std::numeric_limits<std::size_t>::max() / sizeof(T))
      v0::detail::throw_config_error("buddy::cuda::device_buffer: more bytes than a size can count");
    if (size == 0) return;
    void* data = nullptr;
    BUDDY_CUDA_TRY(cudaMalloc(&data, size * sizeof(T)));
    data_.reset(static_cast<T*>(data));
    size_ = size;
  }

  device_buffer(device_buffer&& other) noexcept : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}

  device_buffer& operator=(device_buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  ~device_buffer() = default;

  [[nodiscard]] T* data() const noexcept { return data_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// For kernels. @pre size() < 2^32
  [[nodiscard]] view<T> all() const noexcept {
    BUDDY_ASSERT(size_ <= std::numeric_limits<std::uint32_t>::max());
    return {data(), static_cast<std::uint32_t>(size_)};
  }

  /// Sets every byte. Ordered on `stream`; does not synchronize.
  [[nodiscard]] cudaError_t fill_bytes(std::uint8_t value, cudaStream_t stream) const noexcept {
    return size_ == 0 ? cudaSuccess : cudaMemsetAsync(data(), value, size_ * sizeof(T), stream);
  }

  /// Copies to the host's array, or from it, and waits: for setting up and for tests.
  /// @pre host.size() <= size()   @throws cuda_error
  void store_to(std::span<std::remove_const_t<T>> host) const { copy(host.data(), data(), host.size()); }
  void load_from(std::span<T const> host) const { copy(data(), host.data(), host.size()); }

 private:
  struct release {
    void operator()(T* data) const noexcept { BUDDY_CUDA_WARN(cudaFree(data)); }
  };

  void copy(T* to, T const* from, std::size_t n) const {
    BUDDY_ASSERT(n <= size_);
    if (n == 0) return;
    BUDDY_CUDA_TRY(cudaMemcpy(to, from, n * sizeof(T), cudaMemcpyDefault));
    BUDDY_CUDA_TRY(cudaStreamSynchronize(cudaStreamLegacy));  // a small copy to the device may return before it lands
  }

  std::unique_ptr<T, release> data_;
  std::size_t size_{};
};

}  // namespace buddy::inline v0::cuda
