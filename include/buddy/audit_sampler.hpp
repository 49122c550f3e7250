// SPDX-License-Identifier: Apache-2.0
/// @file
/// Chooses what is audited: at random, in proportion to size, at a rate that is known beforehand.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/splitmix64.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// Cuts the running sum of sizes into strata of one length and draws one point of each; what lies under a point is
/// chosen.
///
/// An item of size x is chosen x / stratum times on average, whatever the others are: dividing by that gives unbiased
/// sums over all items from the chosen ones (the estimator of Hansen and Hurwitz). One point in each stratum varies
/// less than independent draws. The same seed and sizes give the same choices. Time O(1 + times chosen).
class audit_sampler {
 public:
  /// @pre stratum in [1, 2^62]
  audit_sampler(std::uint64_t stratum, std::uint64_t seed) noexcept : stratum_(stratum), seed_(seed) {
    BUDDY_ASSERT(stratum != 0 && stratum <= std::uint64_t{1} << 62);
    point_ = draw();
  }

  /// How often the next item is chosen; more than once only if it is longer than a stratum.
  [[nodiscard]] std::uint32_t choose(std::uint64_t size) noexcept {
    std::uint32_t times = 0;
    while (size >= left()) {
      size -= left();
      at_ = 0;
      times += point_ != passed ? 1 : 0;
      point_ = draw();
    }
    at_ += size;
    if (point_ != passed && at_ > point_) {
      ++times;
      point_ = passed;
    }
    return times;
  }

  [[nodiscard]] std::uint64_t stratum() const noexcept { return stratum_; }

 private:
  static constexpr std::uint64_t passed = ~std::uint64_t{0};

  [[nodiscard]] std::uint64_t left() const noexcept { return stratum_ - at_; }
  [[nodiscard]] std::uint64_t draw() noexcept { return splitmix64(seed_ + n_++) % stratum_; }

  std::uint64_t stratum_;
  std::uint64_t seed_;
  std::uint64_t n_ = 0;
  std::uint64_t at_ = 0;     // within the stratum
  std::uint64_t point_ = 0;  // of the stratum, or `passed`
};

}  // namespace buddy::inline v0
