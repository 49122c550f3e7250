// SPDX-License-Identifier: Apache-2.0
/// @file
/// The bound for every decision by expected loss: one that knows each slot's true loss beforehand.
#pragma once

#include "harness/model/cpu/decoder.hpp"
#include "harness/model/cpu/layers.hpp"
#include "harness/model/weights.hpp"

#include <buddy/expected_error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/profile.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace harness {

/// Overwrites the losses that the wrapped policy reads, before each layer, with those of this token: by running every
/// expert that the router chose, and what would stand in for it.
template <class Inner>
class oracle_moe {
 public:
  /// @param losses_ub  [n_layers, n_experts] that the policy's selector reads; without corrections
  oracle_moe(Inner& inner, weights const& model, std::span<float const> loss_weights,
             std::span<std::uint32_t> losses_ub)
      : inner_{&inner},
        model_{&model},
        loss_weights_{loss_weights},
        losses_ub_{losses_ub},
        scratch_(std::size_t{2} * model.config().expert_hidden),
        error_(model.config().hidden_size),
        given_(model.config().hidden_size) {}

  void begin_sequence() noexcept { inner_->begin_sequence(); }
  void begin_step() { inner_->begin_step(); }

  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) {
    double const norm = static_cast<double>(routed.hidden_norm) * static_cast<double>(routed.hidden_norm);
    for (std::uint16_t const e : routed.experts) {
      double const bits = static_cast<double>(loss_weights_[layer]) * squared_error({layer, e}, input) / norm;
      losses_ub_[model_->shape().index({layer, e})] =
          static_cast<std::uint32_t>(std::clamp(bits * buddy::micro_bits, 0.0, 4e9));
    }
    return inner_->operator()(layer, routed, input);
  }
  void add_stand_in(std::uint16_t layer, expert_use const& use, std::span<float const> input, std::span<float> sum) {
    inner_->add_stand_in(layer, use, input, sum);
  }
  [[nodiscard]] auto const& plan() const noexcept { return inner_->plan(); }

 private:
  /// Of the output at a gate weight of 1.
  [[nodiscard]] double squared_error(buddy::expert_key k, std::span<float const> input) {
    cpu::run_expert(model_->expert(k), input, scratch_, error_);
    if (inner_->serves()) {
      std::fill(given_.begin(), given_.end(), 0.0F);
      expert_use use{k.expert, 1.0F};
      use.replaced = true;
      inner_->add_stand_in(k.layer, use, input, std::span<float>{given_});
      for (std::size_t i = 0; i != error_.size(); ++i) error_[i] -= given_[i];
    }
    double sum = 0;
    for (float const x : error_) sum += static_cast<double>(x) * static_cast<double>(x);
    return sum;
  }

  Inner* inner_;
  weights const* model_;
  std::span<float const> loss_weights_;
  std::span<std::uint32_t> losses_ub_;
  std::vector<float> scratch_;
  std::vector<float> error_;
  std::vector<float> given_;
};

}  // namespace harness
