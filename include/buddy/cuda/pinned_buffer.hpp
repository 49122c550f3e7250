// SPDX-License-Identifier: Apache-2.0
/// @file
/// Memory of the host that the device copies from, and can read and write itself.
#pragma once

#include <buddy/cuda/check.hpp>
#include <buddy/cuda/device.hpp>
#include <buddy/cuda/host_pages.hpp>
#include <buddy/error.hpp>

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

namespace buddy::inline v0::cuda {

/// Owns memory that is filled first and pinned then: the system then pins whole large pages that are there already,
/// instead of making them one by one.
///
/// Pages prefer the NUMA node next to the current device, where the runtime knows it. Pinned for all devices and mapped
/// into their address space; not write-combined, because the CPU computes from it. Without a device it is plain memory,
/// and all that needs no device works.
class pinned_buffer {
 public:
  pinned_buffer() noexcept = default;

  /// All zero, and not pinned yet. @throws config_error when there is no address space for it
  explicit pinned_buffer(std::size_t bytes) : pages_(bytes) {
    if (!gpu_available()) return;
    int device = 0;
    if (cudaGetDevice(&device) == cudaSuccess)
      (void)pages_.prefer_node(device_attribute(cudaDevAttrHostNumaId, device, -1));
  }

  pinned_buffer(pinned_buffer&& other) noexcept
      : pages_(std::move(other.pages_)),
        chunk_bytes_(std::exchange(other.chunk_bytes_, 0)),
        pinned_bytes_(std::exchange(other.pinned_bytes_, 0)) {}

  pinned_buffer& operator=(pinned_buffer&& other) noexcept {
    std::swap(pages_, other.pages_);
    std::swap(chunk_bytes_, other.chunk_bytes_);
    std::swap(pinned_bytes_, other.pinned_bytes_);
    return *this;
  }

  ~pinned_buffer() { unpin(); }

  /// Pins what was filled, about 1 GiB a call of the driver, so that no single call holds it for seconds. Does nothing
  /// without a device, or when it is pinned. Slow: a quarter of a second a GiB. Never on the hot path.
  /// @param record_bytes  no record of this size is pinned in two parts: a copy must not cross such a border
  /// @throws cuda_error when the system does not allow so much; the buffer is as before
  /// @throws config_error when the records are no multiple of a page and all together larger than one call pins
  void pin(std::size_t record_bytes = large_page_bytes) {
    std::size_t const all = pages_.bytes().size();
    if (pinned() || all == 0 || !gpu_available()) return;
    chunk_bytes_ = checked_chunk(record_bytes, all);
    for (; pinned_bytes_ != all; pinned_bytes_ += next_chunk()) {
      cudaError_t const code =
          cudaHostRegister(at(pinned_bytes_), next_chunk(), cudaHostRegisterPortable | cudaHostRegisterMapped);
      if (code == cudaSuccess) continue;
      unpin();
      v0::detail::throw_cuda_error(code, "buddy::cuda::pinned_buffer: cudaHostRegister");
    }
  }

  /// Whether copies from it run beside the host.
  [[nodiscard]] bool pinned() const noexcept { return pinned_bytes_ != 0; }

  /// Stays where it is when the owner is moved.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return pages_.bytes(); }

  /// Where kernels find its first byte.
  /// @throws config_error when it is not pinned, or pinned in parts that the device sees apart from each other
  [[nodiscard]] std::byte* on_device() const {
    if (!pinned()) v0::detail::throw_config_error("buddy::cuda::pinned_buffer: on_device needs a pinned buffer");
    void* pointer = nullptr;
    BUDDY_CUDA_TRY(cudaHostGetDevicePointer(&pointer, at(0), 0));
    if (pinned_bytes_ > chunk_bytes_ && pointer != at(0))
      v0::detail::throw_config_error("buddy::cuda::pinned_buffer: this device sees the parts of a large buffer apart");
    return static_cast<std::byte*>(pointer);
  }

 private:
  static constexpr std::size_t most_at_once = std::size_t{1} << 30U;

  [[nodiscard]] static std::size_t checked_chunk(std::size_t record_bytes, std::size_t all) {
    if (all <= most_at_once) return all;
    constexpr std::size_t page = 4096;  // two calls must not pin the same page
    if (record_bytes == 0 || record_bytes % page != 0)
      v0::detail::throw_config_error("buddy::cuda::pinned_buffer: record_bytes must be a multiple of 4096");
    return std::max(record_bytes, most_at_once / record_bytes * record_bytes);
  }

  [[nodiscard]] std::byte* at(std::size_t offset) const noexcept { return bytes().data() + offset; }
  [[nodiscard]] std::size_t next_chunk() const noexcept {
    return std::min(chunk_bytes_, bytes().size() - pinned_bytes_);
  }

  void unpin() noexcept {
    for (std::size_t done = 0; done < pinned_bytes_; done += chunk_bytes_)
      BUDDY_CUDA_WARN(cudaHostUnregister(at(done)));
    pinned_bytes_ = 0;
  }

  host_pages pages_;
  std::size_t chunk_bytes_{};
  std::size_t pinned_bytes_{};
};

}  // namespace buddy::inline v0::cuda
