// SPDX-License-Identifier: Apache-2.0
/// @file
/// One number from the user, the loss that is accepted, spent where it saves most time.
#pragma once

#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/expected_error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/row_rules.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// How much may be lost, in micro-bits, and over which time it must come out right.
struct loss_budget_options {
  std::uint64_t target_ub = 0;        ///< expected loss of a token over all layers, on average; 0: no budget
  std::uint32_t window_tokens = 512;  ///< no window of so many tokens loses more, on average
  std::uint32_t cap_tokens = 16;      ///< no token loses more at one layer than so many tokens may lose there
};

inline constexpr std::uint64_t max_target_ub = std::uint64_t{1} << 32;  // 4295 bits

/// @throws config_error when a member is out of range
inline void validate(loss_budget_options const& o) {
  if (o.target_ub > max_target_ub) detail::throw_config_error("buddy::loss_budget: the target must be at most 2^32 ub");
  if (o.window_tokens == 0 || o.window_tokens > 1U << 16)
    detail::throw_config_error("buddy::loss_budget: window_tokens must be in [1, 65536]");
  if (o.cap_tokens == 0 || o.cap_tokens > 1U << 16)
    detail::throw_config_error("buddy::loss_budget: cap_tokens must be in [1, 65536]");
}

/// Where a budget stands, without the memory of its rows; the same on host and device.
///
/// One row is one token at one layer. Two things limit it. The *price*, loss for the time of one fetch, is one for all
/// layers and tokens: a common price is what spends a sum of losses best. It rises while less is lost than the target,
/// and falls while more is: slowly, so that it stays nearly constant, at first faster. The *allowance* is what the
/// window has left, and never more than the cap. Time O(1).
struct loss_budget_state {
  std::uint64_t row_q8 = 0;    ///< target of one row, unit 1/256 micro-bit
  std::uint64_t sum_ub = 0;    ///< loss of the window
  std::uint32_t cap_rows = 1;  ///< most loss of a row, in rows' targets
  std::uint32_t rows = 1;
  std::uint32_t next = 0;    ///< oldest row, overwritten by the next push
  std::uint32_t used = 0;    ///< rows that were ever pushed, at most `rows`
  std::uint32_t learnt = 0;  ///< rows that moved the price, at most 2^20
  std::int32_t price_log2_q16 = 0;

  static constexpr std::int32_t max_price_log2 = 32 * 65536 - 1;

  /// What the next row may lose, and what time is worth to it. @param lost_ub  [rows], zeros at first
  [[nodiscard]] BUDDY_HD constexpr loss_limits left(std::uint32_t const* lost_ub) const noexcept {
    std::uint64_t const counted = used < rows ? used + 1 : rows;
    std::uint64_t const allowed = counted * row_q8 >> 8;
    std::uint64_t const taken = sum_ub - lost_ub[next];
    std::uint64_t const window = allowed > taken ? allowed - taken : 0;
    std::uint64_t const cap = cap_rows * row_q8 >> 8;
    loss_limits limits;
    limits.allowance_ub = window < cap ? window : cap;
    limits.fetch_worth_ub = price_ub();
    return limits;
  }

  /// Enters the next row.
  BUDDY_HD constexpr void push(std::uint32_t* lost_ub, std::uint32_t loss_ub) noexcept {
    sum_ub = sum_ub + loss_ub - lost_ub[next];
    lost_ub[next] = loss_ub;
    next = next + 1 == rows ? 0 : next + 1;
    if (used < rows) ++used;
    move_price(loss_ub);
  }

  [[nodiscard]] BUDDY_HD constexpr std::uint32_t price_ub() const noexcept {
    std::int32_t const whole = price_log2_q16 >> 16;
    q16 const part = exp2_q16((price_log2_q16 & 0xffff) - 65536);  // 2^(fraction - 1), in [1/2, 1)
    std::uint64_t const price = (std::uint64_t{part} << (whole + 1)) >> 16;
    return price < 0xffff'ffffU ? static_cast<std::uint32_t>(price) : 0xffff'ffffU;
  }

  /// Other rows have another target from now on; the price follows at once.
  BUDDY_HD constexpr void set_target(std::uint64_t row_target_q8) noexcept {
    if (row_target_q8 == row_q8) return;
    std::int32_t const from = row_log2_q16();
    bool const first = row_q8 == 0;
    row_q8 = row_target_q8;
    price_log2_q16 = in_range(first ? row_log2_q16() : price_log2_q16 + row_log2_q16() - from);
  }

 private:
  /// Rows after which a step of the price is half as long as at first, and the shortest step, log2 Q16.
  static constexpr std::uint32_t halved_after = 64;
  static constexpr std::uint32_t first_step = 65536 / 16;
  static constexpr std::uint32_t last_step = 65536 / 1024;

  [[nodiscard]] static constexpr BUDDY_HD std::int32_t in_range(std::int32_t price) noexcept {
    return price < 0 ? 0 : price > max_price_log2 ? max_price_log2 : price;
  }

  /// log2 of a row's target in micro-bits, Q16; 0 below one micro-bit.
  [[nodiscard]] BUDDY_HD constexpr std::int32_t row_log2_q16() const noexcept {
    std::uint64_t const whole = row_q8 >> 8;
    return whole == 0 ? 0 : log2_q16(static_cast<q16>(whole < 0xffff'ffffU ? whole : 0xffff'ffffU)) + 16 * 65536;
  }

  /// Up by one step where nothing is lost, down by one where twice the target is.
  BUDDY_HD constexpr void move_price(std::uint32_t loss_ub) noexcept {
    if (row_q8 == 0) return;
    std::uint32_t const decayed = first_step * halved_after / (halved_after + learnt);
    std::int64_t const step = decayed > last_step ? decayed : last_step;
    if (learnt < 1U << 20) ++learnt;
    std::uint64_t const lost_q8 = std::uint64_t{loss_ub} << 8;
    auto const target = static_cast<std::int64_t>(row_q8);
    std::int64_t const move = step * (target - static_cast<std::int64_t>(lost_q8)) / target;  // the cap bounds it
    price_log2_q16 = in_range(price_log2_q16 + static_cast<std::int32_t>(move));
  }
};

static_assert(device_portable<loss_budget_state>);

/// Keeps the expected loss at its target, over every window of tokens.
class loss_budget {
 public:
  /// @throws config_error when an option is out of range
  loss_budget(loss_budget_options const& o, std::uint16_t n_layers) : n_layers_(n_layers) {
    validate(o);
    if (o.target_ub == 0) return;
    lost_ub_.assign(std::size_t{o.window_tokens} * n_layers, 0);
    state_.rows = static_cast<std::uint32_t>(lost_ub_.size());
    state_.cap_rows = o.cap_tokens;
    set_target(o.target_ub);
  }

  [[nodiscard]] bool limits() const noexcept { return !lost_ub_.empty(); }

  /// What the next row may lose; everything without a budget.
  [[nodiscard]] loss_limits left() const noexcept { return limits() ? state_.left(lost_ub_.data()) : loss_limits{}; }

  /// Enters the next row.
  void push(std::uint32_t loss_ub) noexcept {
    if (limits()) state_.push(lost_ub_.data(), loss_ub);
  }

  /// Enters rows that lost nothing.
  void push_rows_without(std::uint32_t n_rows) noexcept {
    for (std::uint32_t i = 0; limits() && i != n_rows; ++i) state_.push(lost_ub_.data(), 0);
  }

  /// Another target, in micro-bits a token; 0 lets nothing be lost. @pre limits(); target_ub <= max_target_ub
  void set_target(std::uint64_t target_ub) noexcept { state_.set_target((target_ub << 8) / n_layers_); }

  [[nodiscard]] loss_budget_state const& state() const noexcept { return state_; }

 private:
  std::uint16_t n_layers_;
  loss_budget_state state_;
  std::vector<std::uint32_t> lost_ub_;  // [rows] ring: loss of each row
};

}  // namespace buddy::inline v0
