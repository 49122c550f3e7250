// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a router chose for one ubatch at one layer, read from the graph.
#pragma once

#include "src/moe_graph.hpp"

#include <buddy/routing.hpp>

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace llama_adapter {

/// Buffers that are filled at each layer and grow to the largest ubatch.
class routed_batch {
 public:
  /// @param n_experts, top_k  of the model
  routed_batch(std::uint32_t n_experts, std::uint32_t top_k) : n_experts_{n_experts}, top_k_{top_k} {}

  /// Reads ids and scores. @param weights  the node `ffn_moe_weights`, computed  @param input  what the router read, or
  /// null
  void read(moe_layer const& layer, ggml_tensor const* weights, ggml_tensor const* input);

  [[nodiscard]] std::uint32_t n_tokens() const noexcept { return n_tokens_; }
  /// Slots of a row: top-k, but for a warm-up, which asks for every expert.
  [[nodiscard]] std::uint32_t row() const noexcept { return row_; }
  [[nodiscard]] std::vector<std::uint16_t> const& experts() const noexcept { return experts_; }
  /// @pre row() == top_k
  [[nodiscard]] buddy::routing routing() const noexcept;

 private:
  void read_scores(moe_layer const& layer, ggml_tensor const* scores);

  std::uint32_t n_experts_, top_k_;
  std::uint32_t n_tokens_ = 0, row_ = 0;
  std::vector<std::int32_t> ids_;
  std::vector<std::uint16_t> experts_;  // [n_tokens, row]
  std::vector<float> weights_;          // [n_tokens, row] before any normalisation
  std::vector<float> copied_scores_;    // [n_tokens, n_experts]
  std::vector<float> copied_inputs_;    // [n_tokens, hidden]
  buddy::view<float const> scores_, inputs_;
};

}  // namespace llama_adapter
