// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a routing trace says about how many slots each layer is worth.
#pragma once

#include "harness/policy/settings.hpp"

#include <buddy/adapmoe_split.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/reuse_distances.hpp>
#include <buddy/routing_trace.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace harness {

/// Measured on one trace, for budgets of all sizes.
struct layer_demand {
  buddy::model_shape shape;                   ///< of the trace; says nothing about bytes
  std::vector<buddy::hit_curve> curves;       ///< [n_layers]
  std::vector<buddy::adapmoe_layer> adapmoe;  ///< [n_layers]
};

/// Reads these tokens of a trace.
///
/// AdapMoE's accuracy is the share of tokens for which the expert that an online Markov table names first is asked for:
/// a trace has no hidden states for its own predictor. Its gate is not modelled, so no token keeps one expert only.
[[nodiscard]] layer_demand measure_demand(buddy::routing_trace const& trace, buddy::token_range range = {});

/// The same for the first `n_tokens` tokens of a file; 0 means all.
/// @throws buddy::config_error when the file is no trace
[[nodiscard]] std::shared_ptr<layer_demand const> read_demand(std::string const& file, std::size_t n_tokens);

/// Slots for each layer, as many together as an even split of `bytes` gives; empty when all layers get as many.
/// @throws buddy::config_error when the split needs a trace or other pools, or the trace is of another model
[[nodiscard]] std::vector<std::uint32_t> layer_slots(policy_settings const& settings, buddy::model_shape const& shape,
                                                     std::uint64_t bytes);

}  // namespace harness
