// SPDX-License-Identifier: Apache-2.0
/// @file
/// The slots of the device: one contiguous record per expert.
#pragma once

#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/host_pages.hpp>
#include <buddy/cuda/record_array.hpp>
#include <buddy/error.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::cuda {

/// Owns all slots of a device in one allocation. A record holds all matrices of its expert, so that one copy moves it,
/// and begins at a large-page boundary.
class device_slab {
 public:
  device_slab() noexcept = default;

  /// @param alignment  a power of two; below 2 MiB only where records are small and memory is short
  /// @throws config_error when a size is 0, cuda_error when the device has not got the memory
  device_slab(std::uint32_t n_slots, std::size_t record_bytes, std::size_t alignment = large_page_bytes)
      : memory_(bytes_of(n_slots, record_bytes, alignment)) {
    auto const address = reinterpret_cast<std::uintptr_t>(memory_.data());
    ref_ = {memory_.data() + (round_up(address, alignment) - address), round_up(record_bytes, alignment), n_slots};
  }

  [[nodiscard]] device_slab_ref ref() const noexcept { return ref_; }

 private:
  /// One alignment more: cudaMalloc promises 256 bytes only.
  static std::size_t bytes_of(std::uint32_t n_slots, std::size_t record_bytes, std::size_t alignment) {
    if (n_slots == 0 || record_bytes == 0)
      v0::detail::throw_config_error("buddy::cuda::device_slab: n_slots and record_bytes must be at least 1");
    if (alignment == 0 || (alignment & (alignment - 1)) != 0)
      v0::detail::throw_config_error("buddy::cuda::device_slab: alignment must be a power of two");
    return n_slots * round_up(record_bytes, alignment) + alignment;
  }

  device_buffer<std::byte> memory_;
  device_slab_ref ref_{};
};

}  // namespace buddy::inline v0::cuda
