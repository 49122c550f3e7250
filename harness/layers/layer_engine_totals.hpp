// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the loop of an engine counts beside its policy.
#pragma once

#include <array>
#include <cstdint>

namespace harness {

/// What an engine has moved.
struct engine_totals {
  std::uint64_t steps{};
  std::array<std::uint64_t, 3> link_bytes{};  ///< by `buddy::copy_reason`
  std::uint64_t background_cancelled{};

  [[nodiscard]] std::uint64_t all_link_bytes() const noexcept { return link_bytes[0] + link_bytes[1] + link_bytes[2]; }
};

}  // namespace harness
