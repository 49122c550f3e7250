// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which device there is, if any, and what it is like.
#pragma once

#include <buddy/cuda/check.hpp>

#include <cuda_runtime_api.h>

namespace buddy::inline v0::cuda {

/// How many devices this process sees. No driver, a driver that is too old and a driver without a device are ordinary
/// answers: 0. Leaves no error behind.
[[nodiscard]] inline int device_count() noexcept {
  int n = 0;
  if (cudaGetDeviceCount(&n) == cudaSuccess) return n;
  (void)cudaGetLastError();
  return 0;
}

/// Whether there is a device to run on.
[[nodiscard]] inline bool gpu_available() noexcept { return device_count() > 0; }

/// Why there is none, in the runtime's words; "" when there is one.
[[nodiscard]] inline char const* why_no_gpu() noexcept {
  int n = 0;
  cudaError_t const code = cudaGetDeviceCount(&n);
  (void)cudaGetLastError();
  if (code != cudaSuccess) return cudaGetErrorString(code);
  return n > 0 ? "" : cudaGetErrorString(cudaErrorNoDevice);
}

/// The device that this thread's calls go to.
/// @throws cuda_error when there is none
[[nodiscard]] inline int current_device() {
  int device = 0;
  BUDDY_CUDA_TRY(cudaGetDevice(&device));
  return device;
}

/// One property of a device, or `otherwise` where the runtime cannot say.
[[nodiscard]] inline int device_attribute(cudaDeviceAttr attribute, int device, int otherwise = 0) noexcept {
  int value = otherwise;
  if (cudaDeviceGetAttribute(&value, attribute, device) == cudaSuccess) return value;
  (void)cudaGetLastError();
  return otherwise;
}

/// Makes a device current for this thread, and the one before it on leaving the scope.
class device_guard {
 public:
  /// @throws cuda_error when there is no such device
  explicit device_guard(int device) : before_(current_device()) {
    if (device != before_) BUDDY_CUDA_TRY(cudaSetDevice(device));
  }
  device_guard(device_guard const&) = delete;
  device_guard& operator=(device_guard const&) = delete;
  ~device_guard() { BUDDY_CUDA_WARN(cudaSetDevice(before_)); }

 private:
  int before_;
};

}  // namespace buddy::inline v0::cuda
