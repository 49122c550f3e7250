// SPDX-License-Identifier: Apache-2.0
/// @file
/// Words of memory that streams write and wait for, without the host and without a kernel.
#pragma once

#include <buddy/cuda/check.hpp>
#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/stream.hpp>
#include <buddy/cuda/stream_words.hpp>
#include <buddy/error.hpp>

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace buddy::inline v0::cuda {

/// The driver's `cuStreamWriteValue32` and `cuStreamWaitValue32`, which the runtime does not have: found by name, so
/// that nothing links the driver. Where they are missing or do not work, `available` is false and events must do.
///
/// Such waits are invisible to the runtime: give streams that wait for each other no other order than the words do, and
/// write before you wait. Words lie in memory of the device, or of the host and mapped; not in managed memory.
class stream_flags {
 public:
  /// None: for hosts without a device.
  stream_flags() noexcept = default;

  /// Asks the driver, then tries: a stream writes a word and waits for it. Takes up to a second where that fails.
  [[nodiscard]] static stream_flags find() noexcept {
    stream_flags flags;
    flags.write_ = entry_point<write_value>("cuStreamWriteValue32");
    flags.wait_ = entry_point<wait_value>("cuStreamWaitValue32");
    if (!flags.available() || !flags.works()) return {};
    return flags;
  }

  [[nodiscard]] bool available() const noexcept { return write_ != nullptr && wait_ != nullptr; }

  /// Writes a word in the order of the stream; what the stream wrote before is visible to whoever sees the word.
  /// @pre available()
  [[nodiscard]] cudaError_t write(cudaStream_t stream, std::uint32_t* word, std::uint32_t value) const noexcept {
    return as_runtime_error(write_(stream, address(word), value, CU_STREAM_WRITE_VALUE_DEFAULT));
  }

  /// What comes later in the stream waits until the word has reached the value, in the cyclic order of its differences.
  /// @pre available(), and somebody will write it
  [[nodiscard]] cudaError_t wait_until(cudaStream_t stream, std::uint32_t const* word,
                                       std::uint32_t value) const noexcept {
    return as_runtime_error(wait_(stream, address(word), value, CU_STREAM_WAIT_VALUE_GEQ));
  }

 private:
  using write_value = CUresult(CUstream, CUdeviceptr, cuuint32_t, unsigned);
  using wait_value = CUresult(CUstream, CUdeviceptr, cuuint32_t, unsigned);

  /// nullptr without a driver, and from one that does not know the name.
  template <class Function>
  static Function* entry_point(char const* name) noexcept {
    constexpr unsigned version = 12000;  // whose signature we call
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    cudaError_t const code = cudaGetDriverEntryPointByVersion(name, &found, version, cudaEnableDefault, &result);
    if (code == cudaSuccess && result == cudaDriverEntryPointSuccess) return reinterpret_cast<Function*>(found);
    (void)cudaGetLastError();
    return nullptr;
  }

  static CUdeviceptr address(std::uint32_t const* word) noexcept { return reinterpret_cast<CUdeviceptr>(word); }

  /// Both number their errors alike.
  static cudaError_t as_runtime_error(CUresult code) noexcept { return static_cast<cudaError_t>(code); }

  /// What the trial needs; on the heap, so that a wait that never ends can be left behind with its memory: freeing it
  /// would wait as well.
  struct trial {
    device_buffer<std::uint32_t> word{1};
    cuda::stream waiting;
  };

  [[nodiscard]] bool works() const noexcept {
    try {
      auto t = std::make_unique<trial>();
      std::uint32_t value = 0;
      t->word.load_from({&value, 1});
      if (write(t->waiting.get(), t->word.data(), 7) != cudaSuccess) return false;
      if (wait_until(t->waiting.get(), t->word.data(), 7) != cudaSuccess) return false;
      if (!ends_in_time(t->waiting.ref())) {
        (void)t.release();
        return false;
      }
      t->word.store_to({&value, 1});
      return value == 7;
    } catch (error const&) {
      return false;
    } catch (std::bad_alloc const&) {
      return false;
    }
  }

  /// A wait that is never over must not take the host with it.
  static bool ends_in_time(stream_ref stream) noexcept {
    auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (std::chrono::steady_clock::now() < deadline) {
      cudaError_t const code = stream.query();
      if (code != cudaErrorNotReady) return code == cudaSuccess;
      (void)cudaGetLastError();
    }
    return false;
  }

  write_value* write_{};
  wait_value* wait_{};
};

static_assert(stream_words<stream_flags>);

}  // namespace buddy::inline v0::cuda
