// SPDX-License-Identifier: Apache-2.0
/// @file
/// Frequency that is forgotten with a half-life.
///
/// Source: LRFU of Lee et al., IEEE Trans. Computers 50(12), 2001 (F(x) = 2^(-lambda x)). Differs from it: time is the
/// model's step, and the score is kept as a logarithm in fixed point.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the slot with the lowest score, where an access makes s <- s * 2^(-dt / H) + 1, dt in steps.
///
/// All scores decay at one rate, so log2(s) + t / H orders them at any time t and stands still between accesses: no
/// sweep, no floats in comparisons. A score is forgotten when its expert leaves. Ties go to the lower (layer, expert).
/// Memory: 12 bytes a slot. Time: O(1), but `victim` scans: O(capacity).
class lfu_decayed {
 public:
  static constexpr std::string_view name = "lfu_decayed";

  /// @param half_life_steps H; infinity never forgets
  /// @throws config_error when `half_life_steps` is not above 0
  explicit lfu_decayed(std::size_t capacity, double half_life_steps = 32.0)
      : priorities_(capacity, empty), experts_(capacity), units_per_step_(std::min(65536.0 / half_life_steps, latest)) {
    if (!(half_life_steps > 0.0))
      detail::throw_config_error("buddy::eviction::lfu_decayed: half_life_steps must be above 0");
  }

  void on_step(step_clock const& now) noexcept {
    time_ = static_cast<std::int64_t>(std::min(static_cast<double>(now.step) * units_per_step_, latest));
  }
  void on_insert(slot_id s, expert_key k) noexcept {
    priorities_[index(s)] = time_;  // log2(1) = 0
    experts_[index(s)] = k;
  }
  void on_hit(slot_id s) noexcept {
    // log2(2^x + 1) = max(x, 0) + log2(1 + 2^-|x|), with x the score's logarithm as decayed until now
    std::int64_t const x = priorities_[index(s)] - time_;
    std::int64_t const distance = std::min<std::int64_t>(x < 0 ? -x : x, 32 * 65536);
    q16 const smaller = exp2_q16(-static_cast<std::int32_t>(distance));
    priorities_[index(s)] = time_ + std::max<std::int64_t>(x, 0) + log2_q16(q16_one + smaller);
  }
  void on_erase(slot_id s) noexcept { priorities_[index(s)] = empty; }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    std::size_t best = priorities_.size();
    for (std::size_t i = 0; i != priorities_.size(); ++i) {
      if (priorities_[i] == empty || (best != priorities_.size() && !leaves_before(i, best))) continue;
      if (may_leave(slot_id{static_cast<std::uint32_t>(i)})) best = i;
    }
    return best == priorities_.size() ? no_slot : slot_id{static_cast<std::uint32_t>(best)};
  }

 private:
  static constexpr std::int64_t empty = std::numeric_limits<std::int64_t>::max();
  static constexpr double latest = 0x1p62;

  static std::size_t index(slot_id s) noexcept { return static_cast<std::size_t>(s); }

  [[nodiscard]] bool leaves_before(std::size_t a, std::size_t b) const noexcept {
    return priorities_[a] != priorities_[b] ? priorities_[a] < priorities_[b] : experts_[a] < experts_[b];
  }

  std::vector<std::int64_t> priorities_;  // log2(score) + time / H, unit 1/65536
  std::vector<expert_key> experts_;
  double units_per_step_;
  std::int64_t time_{};  // steps / H, unit 1/65536
};

static_assert(eviction_policy<lfu_decayed>);

}  // namespace buddy::inline v0::eviction
