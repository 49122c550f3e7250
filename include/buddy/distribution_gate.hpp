// SPDX-License-Identifier: Apache-2.0
/// @file
/// Whether too much of a batch is missing for stand-ins.
///
/// Source: BuddyMoE, arXiv:2511.10054, section 3.1, Eq. 2. Differs from it: Q16 integers.
#pragma once

#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// Whether missing / distinct >= beta.
/// @param missing   distinct experts of the batch that are not resident
/// @param distinct  distinct experts of the batch
[[nodiscard]] BUDDY_HD constexpr bool distribution_gate_closes(std::uint32_t missing, std::uint32_t distinct,
                                                               q16 beta) noexcept {
  return std::uint64_t{missing} * q16_one >= std::uint64_t{beta} * distinct;
}

}  // namespace buddy::inline v0
