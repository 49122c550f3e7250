// SPDX-License-Identifier: Apache-2.0
/// @file
/// The loss that was really made, from the audited part of it, with its confidence bounds.
#pragma once

#include <buddy/fixed_point.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// A mean loss of a token, in micro-bits.
struct loss_estimate {
  std::uint64_t mean_ub{};
  std::uint64_t error_ub{};  ///< standard error of the mean
  std::uint32_t n_audits{};
  std::uint64_t n_tokens{};  ///< that it is the mean of

  [[nodiscard]] constexpr std::uint64_t low_ub(q16 z_q16) const noexcept {
    std::uint64_t const away = error_ub * z_q16 >> 16;
    return mean_ub > away ? mean_ub - away : 0;
  }
  [[nodiscard]] constexpr std::uint64_t high_ub(q16 z_q16) const noexcept { return mean_ub + (error_ub * z_q16 >> 16); }
};

namespace detail {

/// Largest integer whose square is at most x.
[[nodiscard]] constexpr std::uint64_t square_root(std::uint64_t x) noexcept {
  std::uint64_t root = 0;
  for (std::uint64_t bit = std::uint64_t{1} << 31; bit != 0; bit /= 2)
    if ((root + bit) * (root + bit) <= x) root += bit;
  return root;
}

}  // namespace detail

/// Remembers the last audits. Each stands for one stratum of an `audit_sampler`; its value is what the audited item
/// really lost, divided by the item's size. Integers, so that a replay gives the same numbers.
class audit_memory {
 public:
  /// @param capacity  audits that are remembered, in [1, 4096]
  explicit audit_memory(std::uint32_t capacity) : ring_(capacity) {}

  /// @param value_q16  true loss / size, Q16; held to 2^26
  void push(std::uint64_t value_q16, std::uint64_t token) noexcept {
    if (size_ == 0) since_ = token;
    if (size_ == ring_.size())
      since_ = ring_[next_].token;
    else
      ++size_;
    ring_[next_] = {value_q16 < largest ? value_q16 : largest, token};
    next_ = next_ + 1 == ring_.size() ? 0 : next_ + 1;
  }

  void clear() noexcept { size_ = next_ = 0; }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

  /// @param stratum  of the sampler, in the unit of the losses
  /// @param now      running number of the present token
  /// Time O(size).
  [[nodiscard]] loss_estimate estimate(std::uint64_t stratum, std::uint64_t now) const noexcept {
    loss_estimate e{0, 0, size_, size_ == 0 ? 0 : now - since_ + 1};
    if (size_ == 0) return e;
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i != size_; ++i) sum += ring_[i].value_q16;
    std::uint64_t const mean = sum / size_;
    std::uint64_t squares = 0;  // Q16 each, of values below 2^10: no overflow
    for (std::uint32_t i = 0; i != size_; ++i) {
      std::uint64_t const d = ring_[i].value_q16 > mean ? ring_[i].value_q16 - mean : mean - ring_[i].value_q16;
      squares += d * d >> 16;
    }
    e.mean_ub = per_token(sum, stratum, e.n_tokens);
    // Standard error of the sum: sqrt(n / (n - 1) x squares); the root of Q16 is Q8.
    std::uint64_t const spread = size_ < 2 ? sum : detail::square_root(squares * size_ / (size_ - 1)) << 8;
    e.error_ub = per_token(spread, stratum, e.n_tokens);
    return e;
  }

 private:
  struct entry {
    std::uint64_t value_q16{};
    std::uint64_t token{};
  };

  static constexpr std::uint64_t largest = std::uint64_t{1} << 26;  // 1024 times its size

  /// values x stratum / tokens, without the product's overflow.
  [[nodiscard]] static std::uint64_t per_token(std::uint64_t values_q16, std::uint64_t stratum,
                                               std::uint64_t n_tokens) noexcept {
    return static_cast<std::uint64_t>(static_cast<double>(values_q16) / 65536.0 * static_cast<double>(stratum) /
                                      static_cast<double>(n_tokens));
  }

  std::vector<entry> ring_;
  std::uint32_t size_ = 0;
  std::uint32_t next_ = 0;
  std::uint64_t since_ = 0;  // token of the audit before the oldest
};

}  // namespace buddy::inline v0
