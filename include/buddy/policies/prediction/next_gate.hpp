// SPDX-License-Identifier: Apache-2.0
/// @file
/// The router of a later layer, asked now.
///
/// Source: Eliseev, Mazur, arXiv:2312.17238, sec. 3.2, who apply the next layer's gate to the present hidden state;
/// also AdapMoE and BigMoeOnEdge. Differs from them: any number of layers ahead, and batches.
#pragma once

#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/prediction/ranking.hpp>
#include <buddy/routing.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace buddy::inline v0::prediction {

/// Ranks the experts of a layer by its router's logits for what the router `ahead` layers before it read in this step.
///
/// The experts of a batch are ranked by the sum of its tokens' logits. A layer has no prediction when `routing::inputs`
/// of the earlier one were empty, and the first `ahead` layers never have one: their routers read the next token, which
/// nobody knows yet. Ties go to the lower id. Logits are floats: two compilers may order close ones differently.
/// Time: `observe` O(n_tokens * hidden_size), `predict` O(n_experts * hidden_size). Memory: 4 bytes x n_layers x
/// hidden_size.
class next_gate {
 public:
  static constexpr std::string_view name = "next_gate";

  /// @param rows   [n_layers] router matrices [n_experts, hidden_size], row-major; the floats must outlive this
  /// @param ahead  layers between what was read and what is predicted, at least 1
  /// @throws config_error when a size does not fit the shape
  next_gate(model_shape const& shape, view<view<float const> const> rows, std::uint16_t ahead = 1)
      : shape_((validate(shape), shape)),
        rows_(rows.begin(), rows.end()),
        hidden_size_(rows.empty() ? 0 : rows[0].size / shape.n_experts),
        ahead_(ahead),
        inputs_(std::size_t{shape.n_layers} * hidden_size_),
        seen_(shape.n_layers),
        logits_(shape.n_experts) {
    if (ahead == 0) detail::throw_config_error("buddy::prediction::next_gate: ahead must be at least 1");
    if (rows_.size() != shape.n_layers || hidden_size_ == 0)
      detail::throw_config_error("buddy::prediction::next_gate: rows must hold a router for each layer");
    for (view<float const> const& layer : rows_)
      if (layer.size != hidden_size_ * shape.n_experts)
        detail::throw_config_error("buddy::prediction::next_gate: every router must be [n_experts, hidden_size]");
  }

  /// Whether it was made for this model's sizes.
  [[nodiscard]] bool fits(model_shape const& shape) const noexcept { return routes_alike(shape, shape_); }

  /// Logits are linear, so the sum of the inputs is all that the sum of the logits needs.
  void observe(std::uint16_t layer, routing const& r) noexcept {
    if (layer <= last_) std::fill(seen_.begin(), seen_.end(), false);  // a step begins
    last_ = layer;
    seen_[layer] = r.inputs.size == r.n_tokens * hidden_size_;
    if (seen_[layer] == 0) return;
    float* const sum = inputs_.data() + std::size_t{layer} * hidden_size_;
    std::copy_n(r.inputs.data, hidden_size_, sum);
    for (std::uint32_t t = 1; t < r.n_tokens; ++t) {
      float const* const x = r.inputs.data + std::size_t{t} * hidden_size_;
      for (std::uint32_t i = 0; i != hidden_size_; ++i) sum[i] += x[i];
    }
  }

  [[nodiscard]] std::uint32_t predict(std::uint16_t layer, view<std::uint16_t> out) noexcept {
    if (layer < ahead_ || layer <= last_ || seen_[layer - ahead_] == 0) return 0;
    return rank(layer, inputs_.data() + std::size_t{layer - std::uint32_t{ahead_}} * hidden_size_, out);
  }

  /// The experts that the router of `layer` likes best for this input: what it will choose, when the input is its own.
  /// @param input  [hidden_size]
  [[nodiscard]] std::uint32_t rank(std::uint16_t layer, float const* input, view<std::uint16_t> out) noexcept {
    float const* row = rows_[layer].data;
    for (float& logit : logits_) {
      logit = dot(row, input);
      row += hidden_size_;
    }
    return detail::rank_above<float>(-std::numeric_limits<float>::infinity(), {logits_.data(), shape_.n_experts}, out);
  }

 private:
  static constexpr std::uint32_t lanes = 16;

  /// One vector's worth. A loop of its own that stays one: unrolled into its caller, GCC 12 shuffles scalars (five
  /// times slower).
  static void add_products(float const* a, float const* b, std::array<float, lanes>& sums) noexcept {
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#pragma GCC unroll 1
#endif
    for (std::uint32_t j = 0; j != lanes; ++j) sums[j] += a[j] * b[j];
  }

  /// Separate sums, which the compiler may keep in vector registers; one sum it may not split.
  [[nodiscard]] float dot(float const* a, float const* b) const noexcept {
    std::array<float, lanes> sums{};
    std::uint32_t i = 0;
    for (; i + lanes <= hidden_size_; i += lanes) add_products(a + i, b + i, sums);
    float total = 0.0F;
    for (; i != hidden_size_; ++i) total += a[i] * b[i];
    for (float const sum : sums) total += sum;
    return total;
  }

  model_shape shape_;
  std::vector<view<float const>> rows_;  // [n_layers] of [n_experts, hidden_size]
  std::uint32_t hidden_size_;
  std::uint16_t ahead_;
  std::int32_t last_ = -1;          // layer observed last
  std::vector<float> inputs_;       // [n_layers, hidden_size] sum over the batch
  std::vector<std::uint8_t> seen_;  // [n_layers] whether this step brought the layer's inputs
  std::vector<float> logits_;       // [n_experts]
};

static_assert(expert_predictor<next_gate>);

}  // namespace buddy::inline v0::prediction
