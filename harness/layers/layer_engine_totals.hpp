// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the loop of an engine counts beside its policy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace harness {

/// What an engine has moved.
struct engine_totals {
  std::uint64_t steps{};
  std::array<std::uint64_t, 3> link_bytes{};  ///< by `buddy::copy_reason`
  std::uint64_t background_cancelled{};

  /// What was moved since `o`. @pre o was these totals at an earlier time
  engine_totals& operator-=(engine_totals const& o) noexcept {
    steps -= o.steps;
    for (std::size_t i = 0; i != link_bytes.size(); ++i) link_bytes[i] -= o.link_bytes[i];
    background_cancelled -= o.background_cancelled;
    return *this;
  }

  [[nodiscard]] std::uint64_t all_link_bytes() const noexcept { return link_bytes[0] + link_bytes[1] + link_bytes[2]; }
};

}  // namespace harness
