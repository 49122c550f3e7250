// SPDX-License-Identifier: Apache-2.0
/// @file
/// The stand-ins of a run, ready to compute.
#pragma once

#include "harness/fidelity/loss_weights.hpp"
#include "harness/fidelity/stand_in_spec.hpp"
#include "harness/model/cpu/decoder.hpp"
#include "harness/policy/settings.hpp"

#include <buddy/profile.hpp>
#include <buddy/stand_in_losses.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// For every layer the kind that the settings name. Views of the profile's records.
class served_stand_ins {
 public:
  /// @param profile  must outlive this
  /// @throws buddy::config_error when the profile has none of that name, or its records are not of the model's sizes
  served_stand_ins(policy_settings const& settings, buddy::profile const& profile, weights const& model)
      : n_experts_{profile.shape.n_experts} {
    for (std::uint16_t l = 0; l != profile.shape.n_layers; ++l) {
      auto const all = stand_ins_of(buddy::stand_ins_named(profile, stand_ins_of_layer(settings, l)), model);
      auto const first = all.begin() + static_cast<std::ptrdiff_t>(l * n_experts_);
      of_key_.insert(of_key_.end(), first, first + static_cast<std::ptrdiff_t>(n_experts_));
    }
  }

  /// sum += weight of the use * output of what stands in for its expert
  void add(std::uint16_t layer, expert_use const& use, std::span<float const> input,
           std::span<float> sum) const noexcept {
    of_key_[layer * n_experts_ + use.expert].add(use.weight, input.data(), sum.data());
  }

 private:
  std::size_t n_experts_;
  std::vector<any_stand_in> of_key_;  // [layers, experts]
};

}  // namespace harness
