// SPDX-License-Identifier: Apache-2.0
/// @file
/// Many tokens at once through the model, every expert resident: prefill, exact reference runs and calibration.
#pragma once

#include "harness/model/cpu/kv_cache.hpp"
#include "harness/model/cpu/layers.hpp"
#include "harness/model/weights.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace harness {

/// What happened at one layer of a batch; views valid during the call.
struct layer_batch {
  std::uint16_t layer{};
  std::size_t n_tokens{};
  std::span<float const> inputs;           ///< [n_tokens, hidden_size] what router and experts see
  std::span<float const> probabilities;    ///< [n_tokens, n_experts] softmax over all experts
  std::span<std::uint16_t const> experts;  ///< [n_tokens, top_k] by falling probability
  std::span<float const> weights;          ///< [n_tokens, top_k] gate weights as the model uses them
  std::span<float const> outputs;          ///< [n_tokens, top_k, hidden_size] each expert's unweighted output
};

/// Sends a batch through the model by matrix products: tokens are grouped by expert with a counting sort, so that each
/// expert's weights are read once. Equal to stepping token by token but for the order of additions.
class batch_runner {
 public:
  /// @param w  must outlive the runner
  explicit batch_runner(weights const& w) : weights_{&w}, rope_{w.config()} {}

  /// Appends `tokens` to the cached sequence. Allocates when the batch is larger than any before.
  /// @param observe  called once a layer, or empty
  /// @return logits [tokens.size(), vocab_size], valid until the next call
  /// @pre cache.size() + tokens.size() <= cache.capacity()
  std::span<float const> run(std::span<std::uint8_t const> tokens, kv_cache& cache,
                             std::function<void(layer_batch const&)> const& observe = {});

 private:
  void begin(std::span<std::uint8_t const> tokens);
  void attend(std::size_t layer, kv_cache& cache);
  void store_keys(std::size_t layer, kv_cache& cache);
  void attend_head(std::size_t layer, std::size_t head, kv_cache& cache);
  std::span<float const> gather_queries(std::size_t layer, std::size_t head, std::size_t first, std::size_t size,
                                        std::size_t position);
  void route(std::size_t layer);
  void sort_by_expert();
  void run_experts(std::size_t layer);
  void run_one_expert(std::size_t layer, std::size_t expert);

  weights const* weights_;
  cpu::rope_table rope_;
  std::size_t n_{};                     // tokens of the present batch
  std::vector<float> residual_;         // [n, hidden_size]
  std::vector<float> normed_;           // [n, hidden_size]
  std::vector<float> projected_;        // [n, hidden_size]
  std::vector<float> qkv_;              // [n, q_size + 2 kv_size]
  std::vector<float> attended_;         // [n, q_size]
  std::vector<float> queries_;          // [block, head_dim]
  std::vector<float> scores_;           // [block, positions]
  std::vector<float> mixed_;            // [block, head_dim]
  std::vector<float> probabilities_;    // [n, n_experts]
  std::vector<float> gates_;            // [n, top_k]
  std::vector<std::uint16_t> experts_;  // [n, top_k]
  std::vector<std::size_t> begins_;     // [n_experts + 1] of each expert's routed slots in `slots_`
  std::vector<std::size_t> slots_;      // [n * top_k] routed slots (token * top_k + place), by expert, then by token
  std::vector<float> gathered_;         // [n, hidden_size] inputs of one expert
  std::vector<float> gate_up_;          // [n, 2 expert_hidden]
  std::vector<float> gated_;            // [n, expert_hidden]
  std::vector<float> produced_;         // [n, hidden_size] outputs of one expert
  std::vector<float> outputs_;          // [n, top_k, hidden_size]
  std::vector<float> logits_;           // [n, vocab_size]
};

}  // namespace harness
