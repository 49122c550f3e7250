// SPDX-License-Identifier: Apache-2.0
/// @file
/// Time of a device that ran.
#pragma once

#include <cstdint>
#include <string>

namespace harness {

/// From the first launch of each token to its logits, evaluation left out.
struct measured_time {
  std::string device;
  std::uint64_t n_tokens{};
  std::uint64_t elapsed_ns{};
  std::uint64_t stall_ns{};  ///< of these, waiting for copies

  [[nodiscard]] double tokens_per_second() const noexcept {
    return 1e9 * static_cast<double>(n_tokens) / static_cast<double>(elapsed_ns);
  }
  [[nodiscard]] double stall_share() const noexcept {
    return static_cast<double>(stall_ns) / static_cast<double>(elapsed_ns);
  }
};

}  // namespace harness
