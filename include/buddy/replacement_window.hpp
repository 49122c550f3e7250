// SPDX-License-Identifier: Apache-2.0
/// @file
/// The global replacement ratio: a sliding window over the last tokens, and how many stand-ins it has left.
#pragma once

#include <buddy/config.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// Where a sliding window stands, without the memory of its rows; the same on host and device.
///
/// One row is one token at one layer. The allowance is floor(ratio x routed slots of the window), the row in question
/// included, so that a window that is not yet full is held to its own share. Time O(1).
struct replacement_window_state {
  static constexpr std::uint64_t one = std::uint64_t{1} << 32;

  std::uint64_t ratio_q32 = one;  ///< rounded up, so that 0.7 of 10 is 7
  std::uint64_t sum = 0;          ///< stand-ins of the window
  std::uint32_t top_k = 1;
  std::uint32_t rows = 1;
  std::uint32_t next = 0;  ///< oldest row, overwritten by the next push
  std::uint32_t used = 0;  ///< rows that were ever pushed, at most `rows`

  /// Stand-ins the next row may give.
  /// @param given  [rows] stand-ins of each row, zeros at first
  [[nodiscard]] BUDDY_HD constexpr std::uint32_t left(std::uint32_t const* given) const noexcept {
    if (ratio_q32 >= one) return max_top_k;
    // The row about to be overwritten leaves the window; until then it is full of rows that were never used.
    std::uint64_t const counted = used < rows ? used + 1 : rows;
    std::uint64_t const allowed = counted * top_k * ratio_q32 / one;
    std::uint64_t const taken = sum - given[next];
    return allowed > taken ? static_cast<std::uint32_t>(allowed - taken) : 0;
  }

  /// Enters the next row.
  BUDDY_HD constexpr void push(std::uint32_t* given, std::uint32_t count) noexcept {
    sum = sum + count - given[next];
    given[next] = count;
    next = next + 1 == rows ? 0 : next + 1;
    if (used < rows) ++used;
  }
};

static_assert(device_portable<replacement_window_state>);

/// Keeps the share of routed slots with a stand-in at or below a ratio, over every window of `rows` tokens.
class replacement_window {
 public:
  /// @pre rows in [1, 2^20], so that rows x top_k x 2^32 stays below 2^64; ratio in [0, 1]
  replacement_window(double ratio, std::uint32_t rows, std::uint32_t top_k) : given_(rows, 0) {
    state_.ratio_q32 = static_cast<std::uint64_t>(std::ceil(ratio * 0x1p32));
    state_.top_k = top_k;
    state_.rows = rows;
  }

  /// Stand-ins the next row may give.
  [[nodiscard]] std::uint32_t left() const noexcept { return state_.left(given_.data()); }

  /// Enters the next row. A window that limits nothing remembers nothing.
  void push(std::uint32_t given) noexcept {
    if (limits()) state_.push(given_.data(), given);
  }

  /// Enters rows that were given none.
  void push_rows_without(std::uint32_t n_rows) noexcept {
    for (std::uint32_t i = 0; limits() && i != n_rows; ++i) state_.push(given_.data(), 0);
  }

 private:
  [[nodiscard]] bool limits() const noexcept { return state_.ratio_q32 < replacement_window_state::one; }

  replacement_window_state state_;
  std::vector<std::uint32_t> given_;  // [rows] ring: stand-ins of each row
};

}  // namespace buddy::inline v0
