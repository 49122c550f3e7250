// SPDX-License-Identifier: Apache-2.0
/// @file
/// The accepted loss as a user states it.
#pragma once

#include <cstdint>
#include <string>

namespace harness {

/// "1%" of the bits per byte that the exact model needs, or "0.02" bits a byte.
struct loss_promise {
  double amount{};  ///< above 0
  bool is_share{};  ///< of the exact bits per byte

  /// @throws buddy::config_error when it is no such number
  [[nodiscard]] static loss_promise parse(std::string const& text);

  [[nodiscard]] std::string text() const;

  /// In micro-bits a token. @throws buddy::config_error when that rounds to none, or is more than a budget takes
  [[nodiscard]] std::uint64_t target_ub(double exact_bits) const;

  bool operator==(loss_promise const&) const = default;
};

}  // namespace harness
