// SPDX-License-Identifier: Apache-2.0
/// @file
/// Whose sizes the modelled time charges.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace harness {

/// The sizes of one model as far as time depends on them. Routing, hits and misses stay those of the model that runs.
struct charged_shape {
  std::string name;
  std::uint32_t n_layers{};         ///< MoE layers of one token
  std::uint64_t expert_bytes{};     ///< one expert's record
  std::uint64_t bytes_per_layer{};  ///< all other weights that one token reads, spread over the MoE layers
};

/// The shapes known by name, without `reference`, whose sizes are those of the model that runs.
[[nodiscard]] std::span<charged_shape const> builtin_shapes();

/// @param reference  answers to the name "reference"
/// @throws buddy::config_error when there is no such shape
[[nodiscard]] charged_shape find_shape(std::string const& name, charged_shape const& reference);

}  // namespace harness
