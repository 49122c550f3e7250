// SPDX-License-Identifier: Apache-2.0
/// @file
/// Words that a stream writes and waits for where the driver has no operation for that: by kernels of one thread.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/dependent_launch.cuh>
#include <buddy/cuda/miss_ring.cuh>
#include <buddy/cuda/stream_words.hpp>

#include <cuda_runtime.h>

#include <cstdint>

namespace buddy::inline v0::cuda {

namespace detail {

template <class = void>
BUDDY_KERNEL void __launch_bounds__(32) write_word_kernel(std::uint32_t* word, std::uint32_t value) {
  device_memory::publish(*word, value);
}

/// Looks again after a rest, so that the line of the word stays free for its writer.
template <class = void>
BUDDY_KERNEL void __launch_bounds__(32) await_word_kernel(std::uint32_t const* word, std::uint32_t value) {
  while (static_cast<std::int32_t>(device_memory::load_from_reader(*word) - value) < 0) __nanosleep(100);
}

}  // namespace detail

/// Works with every driver, and in graphs. A wait holds a place on one multiprocessor: on a device that displays, the
/// answer must come before the display's watchdog loses patience.
/// @pre  the word lies in memory that device and host both address, or of the device
struct kernel_words {
  [[nodiscard]] cudaError_t write(cudaStream_t stream, std::uint32_t* word, std::uint32_t value) const noexcept {
    return detail::launch(detail::write_word_kernel<>, 1, 1, stream, false, word, value);
  }

  /// @pre somebody will write it, who does not wait for this stream
  [[nodiscard]] cudaError_t wait_until(cudaStream_t stream, std::uint32_t const* word,
                                       std::uint32_t value) const noexcept {
    return detail::launch(detail::await_word_kernel<>, 1, 1, stream, false, word, value);
  }
};

/// The driver's operations where they work, kernels elsewhere: settled once, while setting up.
/// @tparam Flags  `stream_flags`, or what offers the same
template <class Flags>
class lane_words {
 public:
  explicit lane_words(Flags flags) noexcept : flags_(flags) {}

  [[nodiscard]] cudaError_t write(cudaStream_t stream, std::uint32_t* word, std::uint32_t value) const noexcept {
    return flags_.available() ? flags_.write(stream, word, value) : kernel_words{}.write(stream, word, value);
  }

  [[nodiscard]] cudaError_t wait_until(cudaStream_t stream, std::uint32_t const* word,
                                       std::uint32_t value) const noexcept {
    return flags_.available() ? flags_.wait_until(stream, word, value) : kernel_words{}.wait_until(stream, word, value);
  }

 private:
  Flags flags_;
};

static_assert(stream_words<kernel_words>);

}  // namespace buddy::inline v0::cuda
