// SPDX-License-Identifier: Apache-2.0
// Device memory that frees itself, and the question whether there is any.
#pragma once

#include "catch.hpp"

#include <buddy/view.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <vector>

/// Says so when there is no device to run on.
inline bool no_gpu() {
  int devices = 0;
  bool const none = cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0;
  if (none) WARN("no GPU: skipped");
  return none;
}

template <class T>
class device_vector {
 public:
  explicit device_vector(std::vector<T> const& host) : size_(host.size()) {
    if (size_ == 0) return;
    REQUIRE(cudaMalloc(&data_, size_ * sizeof(T)) == cudaSuccess);
    REQUIRE(cudaMemcpy(data_, host.data(), size_ * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  explicit device_vector(buddy::view<T const> host) : device_vector(std::vector<T>(host.begin(), host.end())) {}
  device_vector(device_vector const&) = delete;
  device_vector& operator=(device_vector const&) = delete;
  ~device_vector() { cudaFree(data_); }

  [[nodiscard]] T* get() const noexcept { return data_; }
  [[nodiscard]] buddy::view<T> all() const noexcept { return {data_, static_cast<std::uint32_t>(size_)}; }

  /// Waits for the device.
  [[nodiscard]] std::vector<T> to_host() const {
    std::vector<T> host(size_);
    REQUIRE(cudaMemcpy(host.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return host;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};
