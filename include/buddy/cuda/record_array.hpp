// SPDX-License-Identifier: Apache-2.0
/// @file
/// Where the records of experts lie, one after the other: in memory of the host or in slots of the device.
#pragma once

#include <buddy/config.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::cuda {

/// Contiguous records at equal distances, in memory that somebody else owns. What is in a record is its reader's
/// affair.
template <class Byte>
struct record_array {
  Byte* base{};
  std::uint64_t stride{};  ///< bytes from one record to the next
  std::uint32_t size{};    ///< records

  /// @pre i < size
  [[nodiscard]] BUDDY_HD constexpr Byte* record(std::uint32_t i) const noexcept { return base + stride * i; }
};

/// Slots of the device, and experts in memory of the host.
using device_slab_ref = record_array<std::byte>;
using host_records = record_array<std::byte const>;

static_assert(device_portable<device_slab_ref>);

}  // namespace buddy::inline v0::cuda
