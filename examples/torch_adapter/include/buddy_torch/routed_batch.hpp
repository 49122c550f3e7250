// SPDX-License-Identifier: Apache-2.0
/// @file
/// The router: hidden states in, experts and gate weights out.
#pragma once

#include <buddy/routing.hpp>
#include <buddy/types.hpp>

#include <ATen/ATen.h>
#include <buddy_torch/checks.hpp>
#include <buddy_torch/row_product.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0::torch {

/// How an operation on many rows may be computed.
enum class row_math : std::uint8_t {
  fastest,    ///< as LibTorch or this adapter does it sooner; last bits may depend on the size of the batch
  row_exact,  ///< each row by itself: the same bits in any batch, on any number of processes. CPU, float
};

/// A batch after the router, in host memory.
struct routed_batch {
  std::uint32_t n_tokens{};
  std::vector<std::uint16_t> experts;  ///< [n_tokens, top_k] by falling score, ties to the lower id
  std::vector<float> weights;          ///< [n_tokens, top_k] gate weights
  at::Tensor scores;                   ///< [n_tokens, n_experts] float, CPU, contiguous
  at::Tensor inputs;                   ///< [n_tokens, hidden] float, CPU, contiguous, or undefined

  [[nodiscard]] buddy::routing routing() const {
    auto const size = [](auto const& x) { return static_cast<std::uint32_t>(x); };
    buddy::routing r{{experts.data(), size(experts.size())}, {weights.data(), size(weights.size())}, {}, n_tokens};
    if (scores.defined()) r.scores = {scores.data_ptr<float>(), size(scores.numel())};
    if (inputs.defined()) r.inputs = {inputs.data_ptr<float>(), size(inputs.numel())};
    return r;
  }
};

namespace detail {

/// Inserts in order, so that equal scores keep the order of the ids.
inline void choose_top_k(float const* scores, std::int64_t n_experts, std::uint16_t* experts, float* weights,
                         std::int64_t k) {
  std::int64_t found = 0;
  for (std::int64_t e = 0; e != n_experts; ++e) {
    if (found == k && !(scores[e] > weights[k - 1])) continue;
    std::int64_t at = found == k ? k - 1 : found++;
    for (; at != 0 && scores[e] > weights[at - 1]; --at) {
      weights[at] = weights[at - 1];
      experts[at] = experts[at - 1];
    }
    weights[at] = scores[e];
    experts[at] = static_cast<std::uint16_t>(e);
  }
}

inline void divide_by_sum(float* weights, std::int64_t k) {
  float sum = 0.0F;
  for (std::int64_t s = 0; s != k; ++s) sum += weights[s];
  for (std::int64_t s = 0; s != k; ++s) weights[s] /= sum;
}

/// Whether rows can be computed one by one, without LibTorch.
inline bool plain_floats(at::Tensor const& x) { return x.device().is_cpu() && x.scalar_type() == at::kFloat; }

/// [n_tokens, n_experts] float
inline at::Tensor router_logits(at::Tensor const& router, at::Tensor const& x, row_math math) {
  if (math == row_math::fastest && x.size(0) > 8) return at::linear(x, router).to(at::kFloat);
  if (!plain_floats(x) || !plain_floats(router)) return at::linear(x, router).to(at::kFloat);
  auto const rows = x.contiguous();
  auto const matrix = router.contiguous();
  auto const logits = at::empty({x.size(0), router.size(0)}, x.options());
  row_product(matrix.data_ptr<float>(), router.size(0), router.size(1), rows.data_ptr<float>(), x.size(0),
              logits.data_ptr<float>());
  return logits;
}

}  // namespace detail

/// Softmax over all experts, the `top_k` best, their weights divided by their sum if `normalise`. The result is in host
/// memory: on another device the host waits for it.
/// @param router  [n_experts, hidden]   @param x  [n_tokens, hidden], of the dtype and device of `router`
inline routed_batch route(at::Tensor const& router, at::Tensor const& x, std::int64_t top_k, bool normalise,
                          row_math math) {
  routed_batch r;
  r.n_tokens = static_cast<std::uint32_t>(x.size(0));
  r.scores = at::softmax(detail::router_logits(router, x, math), -1).to(at::kCPU).contiguous();
  r.inputs = x.to(at::kCPU, at::kFloat).contiguous();
  r.experts.resize(static_cast<std::size_t>(x.size(0) * top_k));
  r.weights.resize(r.experts.size());
  for (std::int64_t t = 0; t != x.size(0); ++t) {
    float* const weights = r.weights.data() + t * top_k;
    detail::choose_top_k(r.scores.data_ptr<float>() + t * r.scores.size(1), r.scores.size(1),
                         r.experts.data() + t * top_k, weights, top_k);
    if (normalise) detail::divide_by_sum(weights, top_k);
  }
  return r;
}

}  // namespace buddy::inline v0::torch
