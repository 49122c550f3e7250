// SPDX-License-Identifier: Apache-2.0
/// @file
/// A queue of work for the device.
#pragma once

#include <buddy/cuda/check.hpp>

#include <cuda_runtime_api.h>

#include <memory>
#include <utility>

namespace buddy::inline v0::cuda {

/// A stream that somebody else owns.
class stream_ref {
 public:
  explicit stream_ref(cudaStream_t handle) noexcept : handle_(handle) {}

  [[nodiscard]] cudaStream_t get() const noexcept { return handle_; }

  /// The host waits for all that is in the stream.
  [[nodiscard]] cudaError_t wait() const noexcept { return cudaStreamSynchronize(handle_); }

  /// @returns `cudaSuccess` when the stream is empty, `cudaErrorNotReady`, or what went wrong in it
  [[nodiscard]] cudaError_t query() const noexcept { return cudaStreamQuery(handle_); }

 private:
  cudaStream_t handle_;
};

/// Owns one stream of the current device, which does not wait for the legacy default stream.
///
/// Priorities order kernels only: copies from the host ignore them.
class stream {
 public:
  /// @throws cuda_error when there is no device
  explicit stream(int priority = 0) {
    cudaStream_t handle{};
    BUDDY_CUDA_TRY(cudaStreamCreateWithPriority(&handle, cudaStreamNonBlocking, priority));
    handle_.reset(handle);
  }

  [[nodiscard]] cudaStream_t get() const noexcept { return handle_.get(); }
  [[nodiscard]] stream_ref ref() const noexcept { return stream_ref(get()); }

 private:
  struct destroy {
    void operator()(cudaStream_t handle) const noexcept { BUDDY_CUDA_WARN(cudaStreamDestroy(handle)); }
  };
  std::unique_ptr<CUstream_st, destroy> handle_;
};

/// A stream that is empty before it goes: for those whose work reads or writes what goes with them. The host waits.
class draining_stream {
 public:
  /// @throws cuda_error when there is no device
  draining_stream() = default;

  draining_stream(draining_stream&&) noexcept = default;
  draining_stream& operator=(draining_stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }

  ~draining_stream() {
    if (get() != nullptr) BUDDY_CUDA_WARN(ref().wait());
  }

  [[nodiscard]] cudaStream_t get() const noexcept { return stream_.get(); }
  [[nodiscard]] stream_ref ref() const noexcept { return stream_.ref(); }

 private:
  stream stream_;
};

}  // namespace buddy::inline v0::cuda
