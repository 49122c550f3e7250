// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which routed slots of a batch the CPU computes, found on the device.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/token_groups.hpp>
#include <buddy/host/lane_mailbox.hpp>
#include <buddy/resolution.hpp>
#include <buddy/resolver.hpp>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// Writes one entry for each routed slot that ends with `resolution::host` and has a weight, in the batch's order.
/// Called by all lanes of a warp.
/// @param outcomes  [n_routed] how each slot ends
/// @param weights   [n_routed] factor of its expert's output
/// @param entries   [n_routed] out
/// @returns how many were written; equal in all lanes
template <class Warp>
[[nodiscard]] BUDDY_HD std::uint32_t gather_mail(Warp const& warp, slot_outcome const* outcomes, float const* weights,
                                                 std::uint32_t n_routed, std::uint32_t top_k,
                                                 host::mail_entry* entries) noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t first = 0; first < n_routed; first += 32) {
    std::uint32_t const found = detail::vote(warp, [&](std::uint32_t lane) {
      std::uint32_t const i = first + lane;
      return i < n_routed && outcomes[i].how == resolution::host && weights[i] != 0.0F;
    });
    warp.each([&](std::uint32_t lane) {
      std::uint32_t const bit = std::uint32_t{1} << lane;
      std::uint32_t const i = first + lane;
      if ((found & bit) != 0)
        entries[count + detail::count_bits(found & (bit - 1))] = {outcomes[i].expert,
                                                                  static_cast<std::uint16_t>(i / top_k), weights[i]};
    });
    count += detail::count_bits(found);
  }
  return count;
}

}  // namespace buddy::inline v0::cuda
