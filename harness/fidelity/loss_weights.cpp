// SPDX-License-Identifier: Apache-2.0
/// @file
/// Finite differences: a quarter of one layer's slots.
#include "harness/fidelity/loss_weights.hpp"

#include "harness/run/for_each.hpp"
#include "harness/tasks/quality.hpp"

#include <buddy/error.hpp>
#include <buddy/splitmix64.hpp>

#include <array>
#include <numbers>
#include <utility>

namespace harness {

namespace {

/// Replaces a pseudo-random quarter of one layer's slots and adds up what that is expected to do.
class perturbing_moe {
 public:
  perturbing_moe(buddy::stand_in_set const& set, std::vector<any_stand_in> const& stand_ins,
                 std::vector<std::uint64_t> const& samples, std::uint16_t layer, std::size_t n_experts)
      : set_{&set}, stand_ins_{&stand_ins}, samples_{&samples}, layer_{layer}, n_experts_{n_experts} {}

  void begin_sequence() noexcept {}
  void begin_step() noexcept { ++step_; }

  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const>) noexcept {
    float sum = 0.0F;
    for (float const w : routed.weights) sum += w;
    for (std::size_t i = 0; i != routed.experts.size(); ++i) {
      uses_[i] = {routed.experts[i], routed.weights[i], buddy::no_slot,
                  layer == layer_ && is_chosen(routed.experts[i], i)};
      if (!uses_[i].replaced) continue;
      double const share = sum > 0.0F ? static_cast<double>(routed.weights[i] / sum) : 0.0;
      error_ += share * share * static_cast<double>(set_->errors[index(routed.experts[i])]);
    }
    return {uses_.data(), routed.experts.size()};
  }

  void add_stand_in(std::uint16_t, expert_use const& use, std::span<float const> x, std::span<float> sum) const {
    (*stand_ins_)[index(use.expert)].add(use.weight, x.data(), sum.data());
  }

  /// Sum of share^2 x error.
  [[nodiscard]] double error() const noexcept { return error_; }

 private:
  [[nodiscard]] std::size_t index(std::uint16_t expert) const noexcept { return layer_ * n_experts_ + expert; }

  [[nodiscard]] bool is_chosen(std::uint16_t expert, std::size_t slot) const noexcept {
    if ((*samples_)[index(expert)] == 0) return false;
    std::uint64_t const key = step_ * buddy::max_top_k + slot;
    return buddy::splitmix64(key) % 4 == 0;
  }

  buddy::stand_in_set const* set_;
  std::vector<any_stand_in> const* stand_ins_;
  std::vector<std::uint64_t> const* samples_;
  std::uint16_t layer_;
  std::size_t n_experts_;
  std::uint64_t step_{};
  double error_{};
  std::array<expert_use, buddy::max_top_k> uses_{};
};

evaluation_logits exact_run(weights const& model, std::vector<sequence> const& set) {
  exact_moe moe;
  return logits_of(model, set, moe);
}

}  // namespace

buddy::stand_ins::expert_size expert_size_of(weights const& model) noexcept {
  return {model.config().hidden_size, model.config().expert_hidden};
}

std::vector<any_stand_in> stand_ins_of(buddy::stand_in_set const& set, weights const& model) {
  auto const spec = stand_in_spec::parse(set.name);
  auto const size = expert_size_of(model);
  std::size_t const n = model.shape().n_keys();
  if (spec.bytes(size) != set.record_bytes || set.records.size() != n * set.record_bytes || spec.how() != set.how)
    throw buddy::config_error("stand-ins '" + set.name + "': the records are not of the model's sizes");
  std::vector<any_stand_in> all;
  for (std::size_t i = 0; i != n; ++i) all.emplace_back(spec, size, set.records.data() + i * set.record_bytes);
  return all;
}

loss_meter::loss_meter(weights const& model, std::vector<sequence> set)
    : model_{&model}, set_{std::move(set)}, exact_{exact_run(model, set_)} {}

double loss_meter::bits_of(evaluation_logits const& run) const {
  double nats = 0.0;
  std::size_t step = 0;
  for (sequence const& s : set_) {
    nats += score_sequence(s, run.from(step), exact_.from(step)).kl_nats;
    step += s.n_predictions();
  }
  return nats / std::numbers::ln2;
}

std::vector<float> loss_meter::weights_of(buddy::stand_in_set const& set, std::vector<std::uint64_t> const& samples,
                                          std::uint32_t n_threads) const {
  auto const shape = model_->shape();
  auto const stand_ins = stand_ins_of(set, *model_);
  std::vector<float> weights(shape.n_layers);
  for_each(
      shape.n_layers, n_threads,
      [&](std::size_t l) {
        perturbing_moe moe{set, stand_ins, samples, static_cast<std::uint16_t>(l), shape.n_experts};
        double const bits = bits_of(logits_of(*model_, set_, moe));
        weights[l] = moe.error() > 0.0 ? static_cast<float>(bits / moe.error()) : 0.0F;
      },
      [](std::size_t) {});
  return weights;
}

}  // namespace harness
