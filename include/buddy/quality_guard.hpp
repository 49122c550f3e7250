// SPDX-License-Identifier: Apache-2.0
/// @file
/// Keeps the promised loss: audits a small random part of what was replaced, corrects what is expected, moves the
/// budget.
#pragma once

#include <buddy/audit_sampler.hpp>
#include <buddy/drift_detector.hpp>
#include <buddy/expected_error.hpp>
#include <buddy/fixed_list.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/guard_options.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/loss_budget.hpp>
#include <buddy/loss_estimate.hpp>
#include <buddy/loss_factors.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// One guard watches one policy under a loss budget; the host calls it beside `resolve`:
///
/// @code
/// guard.begin_token(policy.loss_budget());            // moves the budget
/// auto const& plan = policy.resolve(layer, routing);
/// for (buddy::audit const& a : guard.choose(plan))    // most often none
///   guard.report(a, loss);                            // at once or later; what it really lost, in micro-bits
/// if (guard.end_token()) guard.report_token(loss);    // optional: what the whole token lost
/// @endcode
///
/// The loss of a slot is its layer's weight x |g (E(x) - stand-in)|^2 / |h|^2, which needs the missing expert: on the
/// CPU, or when its bytes have come. The loss of a token, KL(exact || run) in bits, needs a second pass through the
/// layers with every expert, and sees what no slot can tell: how far the text at hand is from the one that weighed the
/// layers. Both are drawn in proportion to the expected loss, so that few are needed, and counted by the inverse of
/// their chance, so that the estimates are unbiased.
///
/// `choose` is O(stand-ins), `report` O(n_layers + memory); nothing allocates after construction. Not thread-safe.
/// Equal plans, reports and seed give equal audits, factors and budgets.
class quality_guard {
 public:
  /// @param profile  copied: `errors` is its corrected twin
  /// @throws config_error when an option is out of range
  quality_guard(model_shape const& shape, guard_options const& options, expected_errors const& profile)
      : shape_(shape),
        o_((validate(options), options)),
        profile_(profile),
        losses_ub_(profile.ref().losses_ub.begin(), profile.ref().losses_ub.end()),
        factors_(shape, options.beliefs),
        layer_q16_(shape.n_layers, options.link_q16),
        link_q16_(options.link_q16),
        slots_(stratum_of(options.target_ub * 1000, options.audits_per_1000), options.seed),
        tokens_(stratum_of(options.target_ub * 10000, options.tokens_per_10000), ~options.seed),
        slot_memory_(options.memory),
        token_memory_(options.memory),
        chosen_(max_top_k),
        floor_ub_(1 + static_cast<std::uint32_t>(options.target_ub / shape.n_layers / 32)),
        allowed_ub_(allowed()) {}

  quality_guard(quality_guard const&) = delete;  // selectors point into it
  quality_guard& operator=(quality_guard const&) = delete;

  /// The corrected losses, for the selector. Valid while the guard lives.
  [[nodiscard]] expected_error_ref errors() const noexcept {
    expected_error_ref corrected = profile_.ref();
    corrected.losses_ub = {losses_ub_.data(), static_cast<std::uint32_t>(losses_ub_.size())};
    return corrected;
  }
  /// [n_layers] the other part of the correction: `loss_corrections::layer_q16`.
  [[nodiscard]] view<q16 const> layer_factors() const noexcept {
    return {layer_q16_.data(), static_cast<std::uint32_t>(layer_q16_.size())};
  }

  /// A step of one token begins: sets the budget.
  void begin_token(loss_budget& budget) noexcept {
    ++now_;
    token_ub_ = 0;
    if (exact_left_ != 0 && --exact_left_ == 0) allowed_ub_ = allowed();
    budget.set_target(exact_left_ != 0 ? 0 : allowed_ub_);
  }

  /// The slots of a plan to audit, most often none; valid until the next call.
  /// @param routed  [n_tokens, top_k] experts of the routing that was resolved
  [[nodiscard]] view<audit const> choose(layer_plan const& plan, view<std::uint16_t const> routed) noexcept {
    chosen_.clear();
    for (std::uint32_t i = 0; i != plan.losses_ub.size; ++i) {
      assignment const& a = plan.assignments[i];
      if (a.how == resolution::own || a.why != refusal::none) continue;
      std::uint32_t const loss = plan.losses_ub[i];
      token_ub_ += loss;
      std::uint32_t const size = loss < unknown_loss_ub - floor_ub_ ? loss + floor_ub_ : unknown_loss_ub;
      std::uint32_t const times = slots_.choose(std::min<std::uint64_t>(size, 16 * slots_.stratum()));
      if (times == 0 || chosen_.size() == chosen_.capacity()) continue;
      expert_key const k{plan.layer, routed[i]};
      std::uint64_t const factor = std::uint64_t{layer_q16_[k.layer]} * factors_.of(k) >> 16;
      chosen_.push(
          {k, i / plan.top_k, i % plan.top_k, loss, size, static_cast<q16>(std::max<std::uint64_t>(factor, 1)), times});
    }
    return chosen_.all();
  }

  /// What an audited slot really lost, at once or later.
  void report(audit const& a, std::uint64_t true_ub) noexcept {
    std::uint64_t const is = (std::min(true_ub, largest_ub) << 16) / a.size_ub;
    std::uint64_t const said = (std::uint64_t{a.expected_ub} << 32) / a.factor_q16 / a.size_ub;  // by the profile
    for (std::uint32_t i = 0; i != a.times; ++i) {
      slot_memory_.push(is * link_q16_ >> 16, now_);
      recent_.push(is * link_q16_ >> 16, now_);
      factors_.learn(a.missing, is, said);
    }
    if (a.expected_ub != 0 && drift_.notice(std::min(true_ub, largest_ub) * link_q16_ / a.expected_ub)) {
      ++drifts_;
      factors_.doubt();
    }
    std::size_t const i = shape_.index(a.missing);
    std::uint64_t const said_ub = profile_.ref().losses_ub[static_cast<std::uint32_t>(i)];
    if (said_ub != unknown_loss_ub)
      losses_ub_[i] = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(said_ub * factors_.of(a.missing) >> 16, unknown_loss_ub - 1));
    move_budget();
  }

  /// The token's last layer is resolved. @returns whether its loss is to be measured
  [[nodiscard]] bool end_token() noexcept {
    expected_total_ub_ += token_ub_;
    if (o_.tokens_per_10000 == 0 || token_ub_ == 0) return false;
    token_size_ub_ = std::min(token_ub_ + 1 + o_.target_ub / 16, 16 * tokens_.stratum());
    token_times_ = tokens_.choose(token_size_ub_);
    return token_times_ != 0;
  }

  /// What the token that `end_token` chose really lost. A run may be better than exact by luck: negative is 0.
  void report_token(std::uint64_t true_ub) noexcept {
    std::uint64_t const is = std::min((std::min(true_ub, largest_ub) << 16) / token_size_ub_, std::uint64_t{1} << 26);
    std::uint64_t const said = (std::min(token_ub_, largest_ub) << 16) / link_q16_ * 65536 / token_size_ub_;
    for (std::uint32_t i = 0; i != token_times_; ++i) {
      token_memory_.push(is, now_);
      link_.add(is, said, o_.token_belief.memory);
    }
    link_q16_ = link_.factor(o_.token_belief.belief, o_.link_q16);
    measured_total_ub_ += (is >> 8) * token_times_ * (tokens_.stratum() >> 8);
    move_budget();
  }

  [[nodiscard]] guard_status status() const noexcept {
    return {slot_memory_.estimate(slots_.stratum(), now_),
            token_memory_.estimate(tokens_.stratum(), now_),
            exact_left_ != 0 ? 0 : allowed_ub_,
            link_q16_,
            drifts_,
            alarms_,
            exact_left_ != 0};
  }

 private:
  static constexpr std::uint64_t largest_ub = std::uint64_t{1} << 40;
  static constexpr std::uint32_t enough = 12;         // audits before an estimate is believed
  static constexpr std::uint32_t enough_tokens = 64;  // their losses have long tails
  static constexpr q16 sure_q16 = 107807;             // 1.645: one side, 95 %

  [[nodiscard]] static std::uint64_t stratum_of(std::uint64_t spent_ub, std::uint32_t n_audits) noexcept {
    return std::max<std::uint64_t>(256, spent_ub / std::max(n_audits, 1U));
  }

  /// The target less its margin, and less what is to be paid back.
  [[nodiscard]] std::uint64_t allowed() const noexcept {
    std::uint64_t const whole = o_.target_ub * (100 - o_.margin_percent) / 100;
    // What whole tokens measured, where they did; the corrected expectation else.
    std::uint64_t const lost = token_memory_.size() < enough_tokens ? expected_total_ub_ : measured_total_ub_;
    std::uint64_t const promised = o_.target_ub * now_;
    std::uint64_t const debt = lost > promised ? (lost - promised) / o_.payback_tokens : 0;
    return std::max(whole > debt ? whole - debt : 0, whole / 4);
  }

  /// After an audit: corrections are in force from the next layer on, the budget from the next token on.
  void move_budget() noexcept {
    for (std::uint16_t l = 0; l != shape_.n_layers; ++l)
      layer_q16_[l] = detail::loss_ratio::in_range(std::uint64_t{factors_.layers()[l]} * link_q16_ >> 16);
    allowed_ub_ = allowed();
    if (recent_.size() < enough || exact_left_ != 0) return;
    auto const seen = recent_.estimate(slots_.stratum(), now_);
    if (seen.low_ub(sure_q16) <= o_.target_ub * o_.alarm_percent / 100) return;
    ++alarms_;
    exact_left_ = o_.exact_tokens + 1;
    recent_.clear();
  }

  model_shape shape_;
  guard_options o_;
  expected_errors profile_;
  std::vector<std::uint32_t> losses_ub_;  // [L, E] corrected
  loss_factors factors_;
  std::vector<q16> layer_q16_;  // [L]
  detail::loss_ratio link_;
  q16 link_q16_;
  audit_sampler slots_;
  audit_sampler tokens_;
  audit_memory slot_memory_;
  audit_memory token_memory_;
  audit_memory recent_{enough};  // slots
  drift_detector drift_;
  fixed_list<audit> chosen_;
  std::uint32_t floor_ub_;  // lets cheap slots be audited too: they may be dearer than they look
  std::uint64_t now_ = 0;   // tokens begun
  std::uint64_t token_ub_ = 0;
  std::uint64_t token_size_ub_ = 1;
  std::uint32_t token_times_ = 0;
  std::uint64_t expected_total_ub_ = 0;
  std::uint64_t measured_total_ub_ = 0;
  std::uint64_t allowed_ub_;
  std::uint32_t exact_left_ = 0;
  std::uint32_t drifts_ = 0;
  std::uint32_t alarms_ = 0;
};

}  // namespace buddy::inline v0
