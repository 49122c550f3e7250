// SPDX-License-Identifier: Apache-2.0
// Routing to replay: made here, or read from a file that the caller names.
#pragma once

#include <buddy/routing_trace.hpp>
#include <buddy/splitmix64.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace traces {

/// Each layer asks for what it asked for lately: an expert at depth d of its recency stack with odds that fall with d,
/// as recorded traces of fine-grained models do. With half of the experts resident, LRU hits some 7 times in 10.
inline buddy::routing_trace recent(buddy::model_shape const& shape, std::size_t n_tokens, std::uint64_t seed) {
  buddy::routing_trace trace;
  trace.model = "recent";
  trace.n_layers = shape.n_layers;
  trace.n_experts = shape.n_experts;
  trace.top_k = shape.top_k;
  trace.sequence_lengths = {static_cast<std::uint32_t>(n_tokens)};
  std::vector<std::vector<std::uint16_t>> stacks(shape.n_layers, std::vector<std::uint16_t>(shape.n_experts));
  for (auto& stack : stacks) std::iota(stack.begin(), stack.end(), std::uint16_t{0});
  auto const roll = [&](std::uint32_t n) { return buddy::below(seed = buddy::splitmix64(seed), n); };
  for (std::size_t t = 0; t != n_tokens; ++t) {
    for (auto& stack : stacks) {
      for (std::uint32_t s = 0; s != shape.top_k; ++s) {  // what this token has chosen stands before place s
        std::uint32_t const left = shape.n_experts - s;
        auto const chosen = stack.begin() + s + std::min(roll(left), roll(left));
        trace.experts.push_back(*chosen);
        std::rotate(stack.begin(), chosen, chosen + 1);
      }
    }
  }
  return trace;
}

}  // namespace traces
