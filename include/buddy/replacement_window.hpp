// SPDX-License-Identifier: Apache-2.0
/// @file
/// The global replacement ratio: a sliding window over the last tokens, and how many stand-ins it has left.
#pragma once

#include <buddy/types.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// Keeps the share of routed slots with a stand-in at or below a ratio, over every window of `rows` tokens.
///
/// One row is one token at one layer. The allowance is floor(ratio x routed slots of the window), the row in question
/// included, so that a window that is not yet full is held to its own share. Time O(1), no allocation after
/// construction.
class replacement_window {
 public:
  /// @pre rows in [1, 2^20], so that rows x top_k x 2^32 stays below 2^64; ratio in [0, 1]
  replacement_window(double ratio, std::uint32_t rows, std::uint32_t top_k)
      : ratio_q32_(static_cast<std::uint64_t>(std::ceil(ratio * 0x1p32))), top_k_(top_k), given_(rows, 0) {}

  /// Stand-ins the next row may give.
  [[nodiscard]] std::uint32_t left() const noexcept {
    if (ratio_q32_ >= one) return max_top_k;
    // The row about to be overwritten leaves the window; until then it is full of rows that were never used.
    std::uint64_t const rows = used_ < given_.size() ? used_ + 1 : given_.size();
    std::uint64_t const allowed = rows * top_k_ * ratio_q32_ / one;
    std::uint64_t const taken = sum_ - given_[next_];
    return allowed > taken ? static_cast<std::uint32_t>(allowed - taken) : 0;
  }

  /// Enters the next row.
  void push(std::uint32_t given) noexcept {
    sum_ = sum_ + given - given_[next_];
    given_[next_] = given;
    next_ = next_ + 1 == given_.size() ? 0 : next_ + 1;
    if (used_ < given_.size()) ++used_;
  }

 private:
  static constexpr std::uint64_t one = std::uint64_t{1} << 32;

  std::uint64_t ratio_q32_;  // rounded up, so that 0.7 of 10 is 7
  std::uint32_t top_k_;
  std::vector<std::uint32_t> given_;  // [rows] ring: stand-ins of each row
  std::size_t next_ = 0;              // oldest row, overwritten by the next push
  std::size_t used_ = 0;
  std::uint64_t sum_ = 0;
};

}  // namespace buddy::inline v0
