// SPDX-License-Identifier: Apache-2.0
/// @file
/// Stacks of MoE layers as large as those of public models, without the models.
#pragma once

#include "harness/sim/charged_shape.hpp"

#include <buddy/expert_record.hpp>
#include <buddy/model_shape.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace harness {

/// Sizes of a stack; its weights are random.
struct layer_stack {
  std::string name;
  buddy::expert_record record;
  std::uint16_t n_layers{};
  std::uint16_t n_experts{};
  std::uint16_t top_k{};
  std::uint64_t rest_bytes{};  ///< other weights that a step reads in each layer: attention, shared experts, head

  [[nodiscard]] buddy::model_shape shape() const noexcept { return {n_layers, n_experts, top_k, record.bytes()}; }
  [[nodiscard]] charged_shape charged() const { return {name, n_layers, record.bytes(), rest_bytes}; }

  /// Bytes of all records of all layers.
  [[nodiscard]] std::uint64_t all_bytes() const noexcept {
    return std::uint64_t{n_layers} * n_experts * record.bytes();
  }
};

/// The stacks known by name.
[[nodiscard]] std::span<layer_stack const> builtin_stacks();

/// @throws buddy::config_error when there is no such stack
[[nodiscard]] layer_stack find_stack(std::string const& name);

/// @throws buddy::config_error naming the size that is out of range
void validate(layer_stack const& s);

}  // namespace harness
