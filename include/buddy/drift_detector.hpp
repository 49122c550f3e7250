// SPDX-License-Identifier: Apache-2.0
/// @file
/// Notices that what is measured has left what is expected for good.
#pragma once

#include <buddy/fixed_point.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// Two one-sided cumulative sums of measured / expected - 1, less a slack; above the limit one of them reports and both
/// start anew.
///
/// A measured value counts at most four times the expected one, so that a single outlier is no drift. Time O(1).
/// Source: Page, "Continuous inspection schemes", Biometrika 41, 1954. Differs from it: ratios, cut off, in Q16.
class drift_detector {
 public:
  /// @param ratio_q16  measured / expected of one audit, Q16
  /// @returns whether this audit made it certain
  [[nodiscard]] bool notice(std::uint64_t ratio_q16) noexcept {
    std::uint64_t const cut = ratio_q16 < 4 * q16_one ? ratio_q16 : 4 * q16_one;
    above_ = above_ + cut > one_and_slack ? above_ + cut - one_and_slack : 0;
    below_ = below_ + one_less_slack > cut ? below_ + one_less_slack - cut : 0;
    if (above_ < limit && below_ < limit) return false;
    above_ = below_ = 0;
    return true;
  }

 private:
  static constexpr std::uint64_t one_and_slack = q16_one + q16_one / 4;
  static constexpr std::uint64_t one_less_slack = q16_one - q16_one / 4;
  static constexpr std::uint64_t limit = 8 * q16_one;

  std::uint64_t above_ = 0;  // Q16
  std::uint64_t below_ = 0;
};

}  // namespace buddy::inline v0
