// SPDX-License-Identifier: Apache-2.0
/// @file
/// In host memory nothing is copied that is as large as the number of experts.
#include "src/routed_batch.hpp"

#include "src/tensor_rows.hpp"

#include <algorithm>
#include <cmath>

namespace llama_adapter {

namespace {

void softmax(float* row, std::uint32_t n) {
  float const largest = *std::max_element(row, row + n);
  float sum = 0.0F;
  for (std::uint32_t e = 0; e != n; ++e) sum += row[e] = std::exp(row[e] - largest);
  for (std::uint32_t e = 0; e != n; ++e) row[e] /= sum;
}

/// The tensor's own memory where the processor can read it, else a copy of it.
buddy::view<float const> view_or_copy(ggml_tensor const* t, std::vector<float>& copy, bool must_copy) {
  auto const n = static_cast<std::uint32_t>(ggml_nelements(t));
  if (is_host(t) && !must_copy) return {static_cast<float const*>(t->data), n};
  copy.resize(n);
  read_all(t, copy.data());
  return {copy.data(), n};
}

}  // namespace

void routed_batch::read(moe_layer const& layer, ggml_tensor const* weights, ggml_tensor const* input) {
  ggml_tensor const* const ids = weights->src[1];
  n_tokens_ = static_cast<std::uint32_t>(ids->ne[1]);
  row_ = static_cast<std::uint32_t>(ids->ne[0]);
  ids_.resize(std::size_t{n_tokens_} * row_);
  experts_.resize(ids_.size());
  if (n_tokens_ == 0) return;
  read_rows(ids, ids_.data());
  std::transform(ids_.begin(), ids_.end(), experts_.begin(),
                 [](std::int32_t i) { return static_cast<std::uint16_t>(i); });
  read_scores(layer, weights->src[0]);
  bool const has_input = input != nullptr && input->type == GGML_TYPE_F32 && ggml_is_contiguous(input);
  inputs_ = has_input ? view_or_copy(input, copied_inputs_, false) : buddy::view<float const>{};
}

/// A softmax of the chosen logits is one of all of them times a factor, and the policy needs no more than that.
void routed_batch::read_scores(moe_layer const& layer, ggml_tensor const* scores) {
  bool const are_logits = layer.scores == router_scores::logits;
  scores_ = view_or_copy(scores, copied_scores_, are_logits);
  for (std::uint32_t t = 0; are_logits && t != n_tokens_; ++t)
    softmax(copied_scores_.data() + std::size_t{t} * n_experts_, n_experts_);
  weights_.resize(experts_.size());
  for (std::size_t i = 0; i != experts_.size(); ++i)
    weights_[i] = scores_[static_cast<std::uint32_t>(i / row_ * n_experts_ + experts_[i])];
}

buddy::routing routed_batch::routing() const noexcept {
  auto const n = static_cast<std::uint32_t>(experts_.size());
  return {{experts_.data(), n}, {weights_.data(), n}, scores_, n_tokens_, inputs_};
}

}  // namespace llama_adapter
