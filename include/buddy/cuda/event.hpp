// SPDX-License-Identifier: Apache-2.0
/// @file
/// A point in a stream that others can wait for.
#pragma once

#include <buddy/cuda/check.hpp>

#include <cuda_runtime_api.h>

#include <memory>

namespace buddy::inline v0::cuda {

/// An event that somebody else owns.
class event_ref {
 public:
  explicit event_ref(cudaEvent_t handle) noexcept : handle_(handle) {}

  [[nodiscard]] cudaEvent_t get() const noexcept { return handle_; }

  /// Marks what is in the stream so far.
  [[nodiscard]] cudaError_t record(cudaStream_t stream) const noexcept { return cudaEventRecord(handle_, stream); }

  /// Whether the device has come past the mark; also true when nothing was marked. Never waits.
  /// @returns `cudaSuccess`, `cudaErrorNotReady`, or what went wrong in the stream
  [[nodiscard]] cudaError_t query() const noexcept { return cudaEventQuery(handle_); }

  /// The host waits for the mark.
  [[nodiscard]] cudaError_t wait() const noexcept { return cudaEventSynchronize(handle_); }

  /// What comes later in `stream` waits for the mark; the host does not.
  [[nodiscard]] cudaError_t wait_in(cudaStream_t stream) const noexcept {
    return cudaStreamWaitEvent(stream, handle_, cudaEventWaitDefault);
  }

 private:
  cudaEvent_t handle_;
};

/// Whether an event keeps the time at which it was passed; one that does is slower to wait for.
enum class event_kind : unsigned { order = cudaEventDisableTiming, timed = cudaEventDefault };

/// Owns one event of the current device.
class event {
 public:
  /// @throws cuda_error when there is no device
  explicit event(event_kind kind = event_kind::order) {
    cudaEvent_t handle{};
    BUDDY_CUDA_TRY(cudaEventCreateWithFlags(&handle, static_cast<unsigned>(kind)));
    handle_.reset(handle);
  }

  [[nodiscard]] cudaEvent_t get() const noexcept { return handle_.get(); }
  [[nodiscard]] event_ref ref() const noexcept { return event_ref(get()); }

 private:
  struct destroy {
    void operator()(cudaEvent_t handle) const noexcept { BUDDY_CUDA_WARN(cudaEventDestroy(handle)); }
  };
  std::unique_ptr<CUevent_st, destroy> handle_;
};

}  // namespace buddy::inline v0::cuda
