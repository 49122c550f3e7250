// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which lane holds what of a 16 x 8 tile of outputs, so that all operands come straight from memory in 16-byte loads.
#pragma once

#include <buddy/config.hpp>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// Eight 16-bit elements that lie behind one another: what one lane loads at once.
struct alignas(16) chunk {
  std::uint32_t words[4]{};
};

/// The index maps of `mma.sync.m16n8k16` with weights as the 16-row operand and tokens as the 8 columns: decode has
/// many rows and few tokens, so the padding falls on the cheap side.
///
/// A step covers 32 columns of the weights with two products. The sum over them does not care for their order, so both
/// operands number them alike in the order that loads like: lane l takes the 8 elements at 8 * (l % 4) of row l / 4,
/// and product j takes of these the pairs 2 j and 2 j + 1. No shared memory, no `ldmatrix`, whole sectors. Source: the
/// fragment layout of the PTX ISA, "Matrix Fragments for mma.m16n8k16". Differs from it: the columns are permuted as
/// said.
namespace fragment {

inline constexpr std::uint32_t rows = 16;
inline constexpr std::uint32_t tokens = 8;
inline constexpr std::uint32_t step = 32;     ///< columns of the weights in one step
inline constexpr std::uint32_t products = 2;  ///< of one step

/// Row of the tile whose chunk a lane loads first; its second is 8 rows below. Also the token whose chunk it loads.
[[nodiscard]] BUDDY_HD constexpr std::uint32_t row_of(std::uint32_t lane) noexcept { return lane / 4; }

/// First column of a lane's chunks within a step.
[[nodiscard]] BUDDY_HD constexpr std::uint32_t column_of(std::uint32_t lane) noexcept { return lane % 4 * 8; }

/// Register r of the 16-row operand of product j.
/// @param upper, lower  the lane's chunks of rows row_of(lane) and row_of(lane) + 8
[[nodiscard]] BUDDY_HD constexpr std::uint32_t weights_register(chunk const& upper, chunk const& lower, std::uint32_t j,
                                                                std::uint32_t r) noexcept {
  return (r % 2 == 0 ? upper : lower).words[2 * j + r / 2];
}

/// Register r of the 8-column operand of product j.
[[nodiscard]] BUDDY_HD constexpr std::uint32_t tokens_register(chunk const& token, std::uint32_t j,
                                                               std::uint32_t r) noexcept {
  return token.words[2 * j + r];
}

/// Row of the tile that a lane's sum i, 0 to 3, belongs to.
[[nodiscard]] BUDDY_HD constexpr std::uint32_t sum_row(std::uint32_t lane, std::uint32_t i) noexcept {
  return lane / 4 + i / 2 * 8;
}

/// Token that a lane's sum i belongs to.
[[nodiscard]] BUDDY_HD constexpr std::uint32_t sum_token(std::uint32_t lane, std::uint32_t i) noexcept {
  return lane % 4 * 2 + i % 2;
}

}  // namespace fragment

}  // namespace buddy::inline v0::cuda
