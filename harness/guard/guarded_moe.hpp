// SPDX-License-Identifier: Apache-2.0
/// @file
/// A guard beside a running policy: audited slots are computed as the missing expert would have, audited tokens by a
/// second pass with every expert.
#pragma once

#include "harness/guard/guard_report.hpp"
#include "harness/model/cpu/decoder.hpp"
#include "harness/model/cpu/kv_cache.hpp"
#include "harness/model/cpu/layers.hpp"
#include "harness/model/weights.hpp"
#include "harness/run/stepped.hpp"
#include "harness/tasks/quality.hpp"

#include <buddy/expected_error.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/quality_guard.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

namespace harness {

/// Wraps what the decoder calls.
/// @tparam Inner  a `policy_moe`, with `plan()` of the layer that was resolved last, and `policy()`
template <class Inner>
class guarded_moe {
 public:
  /// @param loss_weights  [n_layers] bits of loss per unit of squared relative error
  guarded_moe(Inner& inner, buddy::quality_guard& guard, weights const& model, std::span<float const> loss_weights)
      : inner_{&inner},
        guard_{&guard},
        model_{&model},
        loss_weights_{loss_weights},
        scratch_(std::size_t{2} * model.config().expert_hidden),
        truth_(model.config().hidden_size),
        given_(model.config().hidden_size) {}

  void begin_sequence() noexcept { inner_->begin_sequence(); }
  void begin_step() {
    guard_->begin_token(inner_->policy().loss_budget());
    inner_->begin_step();
    misses_ = 0;
  }

  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) {
    auto const uses = inner_->operator()(layer, routed, input);
    buddy::layer_plan const& plan = inner_->plan();
    pending_.clear();
    for (auto const& a : plan.assignments) misses_ += a.how == buddy::resolution::own ? 0 : 1;
    for (buddy::audit const& a : guard_->choose(plan, {routed.experts.data(), plan.top_k}))
      pending_.push_back({a, squared_error(layer, routed.weights[a.slot], a, uses[a.slot], plan, input)});
    return uses;
  }

  void add_stand_in(std::uint16_t layer, expert_use const& use, std::span<float const> input, std::span<float> sum) {
    inner_->add_stand_in(layer, use, input, sum);
  }

  /// The hidden state is whole: errors are taken relative to it.
  void on_layer_end(std::uint16_t layer, std::span<float const> hidden) {
    if (pending_.empty()) return;
    double norm = 0;
    for (float const x : hidden) norm += static_cast<double>(x) * static_cast<double>(x);
    for (auto const& p : pending_)
      guard_->report(p.of, to_ub(static_cast<double>(loss_weights_[layer]) * p.squared_error / norm));
    counts_.slots += pending_.size();
  }

  /// Behind the token's last layer. @param before  the keys and values that the token began with, its own overwritten
  void end_token(decoder& d, std::uint8_t token, kv_cache const& after, std::span<float const> logits) {
    if (!guard_->end_token()) return;
    kv_cache before{after};
    before.retract(1);
    std::vector<float> const run(logits.begin(), logits.end());
    exact_moe exact;
    double const nats = score_prediction(run, d.step(token, before, exact), 0).kl_nats;
    guard_->report_token(to_ub(nats / std::numbers::ln2));
    ++counts_.tokens;
    counts_.token_misses += misses_;
  }

  [[nodiscard]] audit_counts const& counts() const noexcept { return counts_; }

 private:
  struct measured {
    buddy::audit of;
    double squared_error;  // of the weighted output
  };

  [[nodiscard]] static std::uint64_t to_ub(double bits) noexcept {
    return static_cast<std::uint64_t>(std::clamp(bits * buddy::micro_bits, 0.0, 1e12));
  }

  /// |g E(x) - what stood in|^2
  [[nodiscard]] double squared_error(std::uint16_t layer, float gate, buddy::audit const& a, expert_use const& use,
                                     buddy::layer_plan const& plan, std::span<float const> input) {
    cpu::run_expert(model_->expert(a.missing), input, scratch_, truth_);
    std::fill(given_.begin(), given_.end(), 0.0F);
    give(layer, use, plan.at(0, a.slot), input);
    double sum = 0;
    for (std::size_t i = 0; i != truth_.size(); ++i) {
      double const e = static_cast<double>(gate) * static_cast<double>(truth_[i]) - static_cast<double>(given_[i]);
      sum += e * e;
    }
    return sum;
  }

  /// What stood in, weighted.
  void give(std::uint16_t layer, expert_use const& use, buddy::assignment const& a, std::span<float const> input) {
    if (a.how == buddy::resolution::drop) return;
    if (a.how == buddy::resolution::buddy) {
      cpu::run_expert(model_->expert({layer, a.expert}), input, scratch_, given_);
      for (float& x : given_) x *= a.weight;
    } else {
      inner_->add_stand_in(layer, use, input, std::span<float>{given_});
    }
  }

  Inner* inner_;
  buddy::quality_guard* guard_;
  weights const* model_;
  std::span<float const> loss_weights_;
  std::vector<float> scratch_;
  std::vector<float> truth_;
  std::vector<float> given_;
  std::vector<measured> pending_;
  std::uint64_t misses_ = 0;  // of the token
  audit_counts counts_;
};

/// As `logits_of`, with the second passes of audited tokens in between.
template <class Moe>
[[nodiscard]] evaluation_logits guarded_logits(weights const& model, std::span<sequence const> set, Moe& moe) {
  evaluation_logits logits{model.config().vocab_size};
  decoder d{model};
  kv_cache cache{model.config()};
  for (sequence const& s : set) {
    cache.reset();
    moe.begin_sequence();
    for (std::size_t i = 0; i != s.n_predictions(); ++i) {
      moe.begin_step();
      auto const now = d.step(s.bytes[i], cache, moe);
      logits.push(now);
      moe.end_token(d, s.bytes[i], cache, now);
    }
  }
  return logits;
}

}  // namespace harness
