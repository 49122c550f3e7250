// SPDX-License-Identifier: Apache-2.0
/// @file
/// How long bytes take at a bandwidth, in whole nanoseconds: what modelled links share.
#pragma once

#include <cstdint>

namespace buddy::inline v0::detail {

/// ceil(bytes * 10^9 / bytes_per_second), three digits at a time so that nothing overflows.
/// @pre bytes_per_second in [1, 10^15]
[[nodiscard]] constexpr std::uint64_t data_ns(std::uint64_t bytes, std::uint64_t bytes_per_second) noexcept {
  std::uint64_t whole = bytes / bytes_per_second;
  std::uint64_t rest = bytes % bytes_per_second;
  for (int digits = 0; digits != 9; digits += 3) {
    rest *= 1000;
    whole = whole * 1000 + rest / bytes_per_second;
    rest %= bytes_per_second;
  }
  return whole + (rest != 0 ? 1 : 0);
}

}  // namespace buddy::inline v0::detail
