// SPDX-License-Identifier: Apache-2.0
// Routing traces of several temperaments.
#pragma once

#include "cache_run.hpp"

#include <buddy/model_shape.hpp>
#include <buddy/routing_trace.hpp>

#include <cstddef>
#include <cstdint>

/// `random_batches` as a trace of one sequence.
inline buddy::routing_trace random_trace(buddy::model_shape const& shape, habit how, int n_tokens, std::uint64_t seed) {
  buddy::routing_trace trace;
  trace.n_layers = shape.n_layers, trace.n_experts = shape.n_experts, trace.top_k = shape.top_k;
  trace.sequence_lengths = {static_cast<std::uint32_t>(n_tokens)};
  for (auto const& batch : random_batches(shape, how, n_tokens, seed))
    for (auto const k : batch.experts) trace.experts.push_back(k.expert);
  return trace;
}
