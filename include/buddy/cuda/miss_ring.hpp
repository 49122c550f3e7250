// SPDX-License-Identifier: Apache-2.0
/// @file
/// The ring of misses with its memory: records where the host reads them, counters where the kernels do.
#pragma once

#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/miss_queue.hpp>
#include <buddy/cuda/miss_record.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/error.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace buddy::inline v0::cuda {

/// Owns the ring through which kernels report misses. A kernel that writes does not wait for the link, the host that
/// reads does not wait for the kernel, and no call of the runtime is made after construction.
class miss_ring {
 public:
  /// @param n_records  a power of two in [1, 2^31]; a few steps' worth: 4096 records are 128 KiB
  /// @throws config_error when it is not, cuda_error when there is no device
  explicit miss_ring(std::uint32_t n_records) : host_(bytes_of(n_records)), control_(1) {
    host_.pin();
    std::byte* const device = host_.on_device();
    auto* const records = ::new (host_.bytes().data()) miss_record[n_records]{};
    auto* const tail = ::new (host_.bytes().data() + tail_at(n_records)) std::uint32_t{0};
    miss_ring_control const zero{};
    control_.load_from({&zero, 1});
    ref_ = {reinterpret_cast<miss_record*>(device), reinterpret_cast<std::uint32_t const*>(device + tail_at(n_records)),
            control_.data(), n_records};
    reader_ = miss_reader({records, n_records}, *tail);
  }

  /// For kernels.
  [[nodiscard]] miss_ring_ref ref() const noexcept { return ref_; }

  /// Hands over what has arrived, oldest first: f(miss_record const&). Never waits. One thread at a time.
  template <class F>
  std::uint32_t drain(F&& f) {
    return reader_.drain(std::forward<F>(f));
  }

  /// Records that were dropped, as the last drained one knew; modulo 2^32.
  [[nodiscard]] std::uint32_t dropped() const noexcept { return reader_.dropped(); }

 private:
  static constexpr std::size_t tail_at(std::size_t n_records) noexcept { return n_records * sizeof(miss_record); }

  static std::size_t bytes_of(std::uint32_t n_records) {
    if (n_records == 0 || (n_records & (n_records - 1)) != 0)
      v0::detail::throw_config_error("buddy::cuda::miss_ring: n_records must be a power of two");
    return tail_at(n_records) + sizeof(std::uint32_t);
  }

  pinned_buffer host_;
  device_buffer<miss_ring_control> control_;
  miss_ring_ref ref_{};
  miss_reader reader_;
};

}  // namespace buddy::inline v0::cuda
