// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the experts of the exact model read on a text, and what an error of their outputs would cost.
#pragma once

#include "harness/model/cpu/eigen_maps.hpp"
#include "harness/model/weights.hpp"
#include "harness/tasks/sequences.hpp"

#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// Every token of a text at every layer. Memory: layers x tokens x (hidden + 2 top_k + 1) x 4 bytes.
struct routed_sample {
  struct layer {
    std::vector<float> inputs;           ///< [n, hidden] what router and experts read
    std::vector<std::uint16_t> experts;  ///< [n, top_k]
    std::vector<float> gates;            ///< [n, top_k]
    std::vector<float> inverse_norms;    ///< [n] 1 / |h|^2, h the hidden state behind the layer
  };

  std::size_t hidden{};
  std::size_t top_k{};
  std::vector<layer> layers;

  [[nodiscard]] std::size_t n_tokens() const noexcept { return layers.empty() ? 0 : layers[0].inverse_norms.size(); }
  [[nodiscard]] std::span<float const> input(std::uint16_t l, std::size_t t) const noexcept {
    return std::span{layers[l].inputs}.subspan(t * hidden, hidden);
  }
};

/// Runs the exact model over the sequences.
[[nodiscard]] routed_sample sample_routing(weights const& model, std::span<sequence const> set);

/// The tokens of one expert, or of nobody in particular.
struct expert_inputs {
  cpu::row_matrix x;         ///< [n, hidden]
  Eigen::VectorXf weight;    ///< [n] gate^2 / |h|^2: what a squared error of the expert's output costs
  double gates_squared{};    ///< sum of gate^2
  std::uint64_t n_routed{};  ///< tokens that the router sent to it; 0: these are tokens of others
};

/// @param most  tokens to take, evenly spread; an expert that was never chosen gets tokens of the whole layer
[[nodiscard]] expert_inputs inputs_of(routed_sample const& sample, buddy::expert_key k, std::size_t most);

/// [n, hidden] outputs of an expert for each row of x, without its gate weight.
[[nodiscard]] cpu::row_matrix outputs_for(weights const& model, buddy::expert_key k, cpu::row_matrix const& x);

}  // namespace harness
