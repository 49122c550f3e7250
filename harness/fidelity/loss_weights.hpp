// SPDX-License-Identifier: Apache-2.0
/// @file
/// What an error of one layer's output costs at the end of the model.
#pragma once

#include "harness/fidelity/stand_in_spec.hpp"
#include "harness/model/weights.hpp"
#include "harness/run/stepped.hpp"
#include "harness/tasks/sequences.hpp"

#include <buddy/profile.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// The sizes of the experts of a model.
[[nodiscard]] buddy::stand_ins::expert_size expert_size_of(weights const& model) noexcept;

/// The stand-ins of a set, ready to compute: [layers x experts], views of its records.
/// @throws buddy::config_error when the name is none, or the records have other sizes than it says
[[nodiscard]] std::vector<any_stand_in> stand_ins_of(buddy::stand_in_set const& set, weights const& model);

/// Runs the model with some slots of one layer replaced, and compares with the exact run, which it keeps.
class loss_meter {
 public:
  loss_meter(weights const& model, std::vector<sequence> set);

  /// [layers] bits of KL divergence per token over the sum of share^2 x error that was put in per token.
  /// @param samples  [layers, experts]; experts without any are not replaced
  [[nodiscard]] std::vector<float> weights_of(buddy::stand_in_set const& set, std::vector<std::uint64_t> const& samples,
                                              std::uint32_t n_threads) const;

 private:
  [[nodiscard]] double bits_of(evaluation_logits const& run) const;

  weights const* model_;
  std::vector<sequence> set_;
  evaluation_logits exact_;
};

}  // namespace harness
