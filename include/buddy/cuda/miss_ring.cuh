// SPDX-License-Identifier: Apache-2.0
/// @file
/// Appending to the ring of misses from a kernel.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/miss_queue.hpp>
#include <buddy/cuda/miss_record.hpp>

#include <cuda/atomic>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// The atomic words of device threads. What the host reads or writes is ordered at the scope of the system, the rest at
/// that of the device.
struct device_memory {
  using word = std::uint32_t;

  BUDDY_HD static word load(word const& w) noexcept { return own(w).load(::cuda::memory_order_relaxed); }
  BUDDY_HD static word load_from_reader(word const& w) noexcept { return shared(w).load(::cuda::memory_order_acquire); }
  BUDDY_HD static void add_one(word& w) noexcept { own(w).fetch_add(1, ::cuda::memory_order_relaxed); }
  BUDDY_HD static bool replace(word& w, word& expected, word value) noexcept {
    return own(w).compare_exchange_weak(expected, value, ::cuda::memory_order_relaxed);
  }
  BUDDY_HD static void publish(word& w, word value) noexcept { shared(w).store(value, ::cuda::memory_order_release); }

 private:
  using own_ref = ::cuda::atomic_ref<word, ::cuda::thread_scope_device>;
  using shared_ref = ::cuda::atomic_ref<word, ::cuda::thread_scope_system>;

  BUDDY_HD static own_ref own(word const& w) noexcept { return own_ref(const_cast<word&>(w)); }
  BUDDY_HD static shared_ref shared(word const& w) noexcept { return shared_ref(const_cast<word&>(w)); }
};

/// Appends a record from device code: one lane of the warp that owns the token. See `append`.
BUDDY_HD inline bool append_miss(miss_ring_ref const& ring, miss_record const& record) noexcept {
  return append<device_memory>(ring, record);
}

}  // namespace buddy::inline v0::cuda
