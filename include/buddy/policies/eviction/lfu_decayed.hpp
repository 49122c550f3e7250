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
#include <buddy/model_shape.hpp>
#include <buddy/policies/eviction/slot_experts.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the slot with the lowest score, where an access makes s <- s * 2^(-dt / H) + 1, dt in steps.
///
/// All scores decay at one rate, so log2(s) + t / H orders them at any time t and stands still between accesses: no
/// sweep, no floats in comparisons. Ties go to the lower (layer, expert). Time: O(1), but `victim` scans: O(capacity).
class lfu_decayed {
 public:
  static constexpr std::string_view name = "lfu_decayed";

  /// A score is forgotten when its expert leaves. Memory: 12 bytes a slot.
  /// @param half_life_steps H; infinity never forgets
  /// @throws config_error when `half_life_steps` is not above 0
  explicit lfu_decayed(std::size_t capacity, double half_life_steps = 32.0)
      : lfu_decayed(capacity, capacity, 0, half_life_steps) {}

  /// Scores outlive residency. Memory: 4 bytes a slot and 8 bytes an expert of the model, in each pool.
  /// @throws config_error also when `shape` is invalid
  lfu_decayed(std::size_t capacity, model_shape const& shape, double half_life_steps = 32.0)
      : lfu_decayed(capacity, (validate(shape), shape.n_keys()), shape.n_experts, half_life_steps) {}

  void on_step(step_clock const& now) noexcept {
    time_ = static_cast<std::int64_t>(std::min(static_cast<double>(now.step) * units_per_step_, latest));
  }
  void on_insert(slot_id s, expert_key k) noexcept {
    experts_.set(s, k);
    if (!persistent()) priorities_[index(s)] = forgotten;
    on_hit(s);
  }
  void on_hit(slot_id s) noexcept { count(priorities_[index(s)]); }
  /// With scores that outlive residency, an expert that is missed and not fetched gains like one that is hit: so that
  /// it stays when it comes.
  void on_ghost(expert_key k) noexcept {
    if (persistent()) count(priorities_[std::size_t{k.layer} * n_experts_ + k.expert]);
  }
  void on_erase(slot_id s) noexcept { experts_.clear(s); }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    return experts_.first([this](slot_id a, slot_id b) noexcept { return leaves_before(a, b); }, may_leave);
  }

 private:
  static constexpr std::int64_t forgotten = -(std::int64_t{1} << 61);  // log2(0), far enough from any time
  static constexpr double latest = 0x1p61;

  lfu_decayed(std::size_t capacity, std::size_t n_scores, std::size_t n_experts, double half_life_steps)
      : experts_(capacity),
        priorities_(n_scores, forgotten),
        n_experts_(n_experts),
        units_per_step_(std::min(65536.0 / half_life_steps, latest)) {
    if (!(half_life_steps > 0.0))
      detail::throw_config_error("buddy::eviction::lfu_decayed: half_life_steps must be above 0");
  }

  /// log2(2^x + 1) = max(x, 0) + log2(1 + 2^-|x|), with x the score's logarithm as decayed until now.
  void count(std::int64_t& priority) const noexcept {
    std::int64_t const x = priority - time_;
    std::int64_t const distance = std::min<std::int64_t>(x < 0 ? -x : x, 32 * 65536);
    q16 const smaller = exp2_q16(-static_cast<std::int32_t>(distance));
    priority = time_ + std::max<std::int64_t>(x, 0) + log2_q16(q16_one + smaller);
  }

  [[nodiscard]] bool persistent() const noexcept { return n_experts_ != 0; }

  /// Of the score of the expert in `s`.
  [[nodiscard]] std::size_t index(slot_id s) const noexcept {
    if (!persistent()) return static_cast<std::size_t>(s);
    return std::size_t{experts_[s].layer} * n_experts_ + experts_[s].expert;
  }

  [[nodiscard]] bool leaves_before(slot_id a, slot_id b) const noexcept {
    std::int64_t const score_a = priorities_[index(a)];
    std::int64_t const score_b = priorities_[index(b)];
    return score_a != score_b ? score_a < score_b : experts_[a] < experts_[b];
  }

  detail::slot_experts experts_;
  std::vector<std::int64_t> priorities_;  // log2(score) + time / H, unit 1/65536; [capacity] or [n_layers, n_experts]
  std::size_t n_experts_;                 // 0: scores end with residency
  double units_per_step_;
  std::int64_t time_{};  // steps / H, unit 1/65536
};

static_assert(eviction_policy<lfu_decayed>);

}  // namespace buddy::inline v0::eviction
