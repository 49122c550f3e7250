// SPDX-License-Identifier: Apache-2.0
/// @file
/// The small functions of the transformer: normalisation, rotary embedding, softmax, gating. Plain arrays in and out.
#pragma once

#include "harness/model/aligned_floats.hpp"
#include "harness/model/config.hpp"
#include "harness/model/weights.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace harness::cpu {

/// y = x / sqrt(mean(x^2) + eps) * gain. `y` may be `x`.
/// @param x, gain, y  [n]
void rms_norm(std::span<float const> x, std::span<float const> gain, float eps, std::span<float> y) noexcept;

/// In place: exp(x - max) / sum.
void softmax(std::span<float> x) noexcept;

/// gate = silu(gate) * up
/// @param gate, up  [n]
void swiglu(std::span<float> gate, std::span<float const> up) noexcept;

/// The router's decision for one token: the k largest probabilities in falling order, ties to the lower id.
/// @param probabilities  [n_experts]
/// @param experts, gates  [top_k] out; gates divided by their sum when `normalise`
void choose_top_k(std::span<float const> probabilities, bool normalise, std::span<std::uint16_t> experts,
                  std::span<float> gates) noexcept;

/// One expert on one token: y = down (silu(gate x) * (up x)).
/// @param x, y     [hidden_size]
/// @param scratch  [2 expert_hidden]
void run_expert(expert_record const& record, std::span<float const> x, std::span<float> scratch,
                std::span<float> y) noexcept;

/// Angles of the rotary embedding for every position, made once.
class rope_table {
 public:
  explicit rope_table(model_config const& config);

  /// Turns each pair (x[i], x[i + head_dim / 2]) of one head by the position's angles, in place.
  /// @param head  [head_dim]
  void rotate(std::span<float> head, std::size_t position) const noexcept;

  [[nodiscard]] std::span<float const> cosines() const noexcept {
    return cosines_.all();
  }  ///< [max_positions, head_dim / 2]
  [[nodiscard]] std::span<float const> sines() const noexcept { return sines_.all(); }  ///< the same

 private:
  std::size_t half_;
  aligned_floats cosines_, sines_;  // [max_positions, head_dim / 2]
};

}  // namespace harness::cpu
