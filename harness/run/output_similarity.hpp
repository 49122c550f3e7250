// SPDX-License-Identifier: Apache-2.0
/// @file
/// How alike the experts of a layer are in what they do.
#pragma once

#include "harness/model/weights.hpp"

#include <buddy/profile.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// Keeps the inputs of every layer's experts for some tokens, evenly spread over a text.
class input_sample {
 public:
  /// @param n_tokens  tokens of the whole text
  /// @param wanted    tokens to keep, at least 1; no more than there are
  input_sample(std::size_t n_layers, std::size_t n_tokens, std::size_t wanted);

  /// @param input  [hidden_size] what the layer's router and experts see; every token in turn
  void observe(std::uint16_t layer, std::span<float const> input);

  /// [n, hidden_size] kept so far
  [[nodiscard]] std::span<float const> inputs(std::uint16_t layer) const noexcept { return inputs_[layer]; }

 private:
  std::size_t n_tokens_;
  std::size_t wanted_;
  std::vector<std::size_t> seen_;           // [n_layers] tokens
  std::vector<std::vector<float>> inputs_;  // [n_layers]
};

/// Runs every expert on the sample, whichever it was routed to, and fills the profile's three tables of outputs.
/// In double precision but for the experts themselves; the last bits depend on the machine.
/// @pre the sample has at least one token in each layer
void add_output_similarity(weights const& model, input_sample const& sample, buddy::profile& p);

}  // namespace harness
