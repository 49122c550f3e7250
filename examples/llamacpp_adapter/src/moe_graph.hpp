// SPDX-License-Identifier: Apache-2.0
/// @file
/// The expert layers of a model, as its compute graph shows them.
#pragma once

#include <ggml.h>
#include <llama.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llama_adapter {

/// One tensor that holds a piece of every expert of a layer: a weight matrix each, or a bias vector each.
struct expert_part {
  ggml_tensor* tensor{};  ///< the model's
  bool is_bias{};

  [[nodiscard]] std::size_t bytes() const noexcept { return is_bias ? tensor->nb[1] : tensor->nb[2]; }
};

/// What llama.cpp calls `ffn_moe_probs`.
enum class router_scores : std::uint8_t { probabilities, logits };

struct moe_layer {
  int block{};                       ///< number of the layer in llama.cpp
  std::vector<expert_part> parts{};  ///< in the order of the graph
  router_scores scores{};
  std::string final_weights{};  ///< the node after which the gate weights are as the experts' outputs get them
  bool has_expert_scales{};     ///< factors by expert, which no pool of slots can serve
  ggml_tensor* router{};        ///< [hidden, n_experts] the router's matrix, where the graph shows it

  [[nodiscard]] std::size_t expert_bytes() const noexcept {
    std::size_t sum = 0;
    for (auto const& part : parts) sum += part.bytes();
    return sum;
  }
};

struct moe_graph {
  std::vector<moe_layer> layers;
  std::vector<int> layer_of_block;  ///< -1: no expert layer
  std::uint16_t n_experts{};
  std::uint16_t top_k{};
  std::string last_node;
};

/// The number in a name of exactly this form: "ffn_moe_weights-12"; -1 when it has another ("... (view)").
[[nodiscard]] int block_of(char const* name, std::string_view base) noexcept;

/// Decodes one token in a context of its own and looks at the nodes.
/// @throws buddy::config_error saying what is not supported, and where
[[nodiscard]] moe_graph learn_graph(llama_model* model);

}  // namespace llama_adapter
