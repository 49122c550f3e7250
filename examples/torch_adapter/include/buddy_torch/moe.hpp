// SPDX-License-Identifier: Apache-2.0
/// @file
/// The MoE block: router, experts in slots, and a policy in between.
#pragma once

#include <buddy/layer_plan.hpp>

#include <buddy_torch/checks.hpp>
#include <buddy_torch/expert_session.hpp>
#include <buddy_torch/routed_batch.hpp>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <utility>

namespace buddy::inline v0::torch {

namespace nn = ::torch::nn;  // within buddy, `torch` is this namespace: LibTorch's macros find theirs

struct moe_options {
  std::uint16_t layer{};  ///< which MoE layer of the model this is
  bool normalise{true};   ///< divide a token's gate weights by their sum
};

namespace detail {

/// Sum over a token's routed slots, in the router's order. A loop of our own for floats: the vectors and the rest of
/// LibTorch's may round differently, and which is which depends on the size of the batch.
/// @param outputs  [n_tokens, top_k, hidden]   @param weights  [n_tokens, top_k]
inline at::Tensor weighted_sum(at::Tensor const& outputs, at::Tensor const& weights) {
  if (!plain_floats(outputs)) return at::matmul(weights.unsqueeze(1), outputs).squeeze(1);
  std::int64_t const k = outputs.size(1);
  std::int64_t const hidden = outputs.size(2);
  auto const y = at::zeros({outputs.size(0), hidden}, outputs.options());
  for (std::int64_t i = 0; i != weights.numel(); ++i) {
    float const w = weights.data_ptr<float>()[i];
    float const* const from = outputs.data_ptr<float>() + i * hidden;
    float* const to = y.data_ptr<float>() + i / k * hidden;
    for (std::int64_t j = 0; j != hidden; ++j) to[j] += w * from[j];
  }
  return y;
}

inline at::Tensor gate_weights_of(layer_plan const& plan, at::TensorOptions const& options) {
  auto const w = at::empty({plan.n_tokens, plan.top_k}, at::kFloat);
  for (std::uint32_t i = 0; i != plan.assignments.size; ++i) w.data_ptr<float>()[i] = plan.assignments[i].weight;
  return w.to(options);
}

}  // namespace detail

/// y = sum over the routed experts of weight * expert(x): the block that stands in an ordinary decoder layer.
class MoEImpl : public nn::Module {
 public:
  /// @param router   [n_experts, hidden], of the dtype and device of the session's store
  /// @param session  shared by the layers of one model
  MoEImpl(moe_options const& options, at::Tensor const& router, std::shared_ptr<expert_session> session)
      : options_{options}, session_{std::move(session)} {
    detail::argument const a{"buddy::MoE", "router", router};
    auto const& sizes = session_->store().sizes();
    detail::check_defined(a);
    detail::check_dims(a, 2, "[n_experts, hidden]");
    detail::check_size(a, 0, sizes.n_experts, "the store's n_experts");
    detail::check_size(a, 1, sizes.hidden, "the store's hidden");
    check_like_store(a);
    TORCH_CHECK_VALUE(options.layer < sizes.n_layers, "buddy::MoE: layer ", options.layer, " of ", sizes.n_layers);
    router_ = register_parameter("gate", router.detach(), /*requires_grad=*/false);
  }

  /// @param x  [..., hidden], of the dtype and device of the store
  /// @returns  as `x`
  at::Tensor forward(at::Tensor const& x) {
    detail::argument const a{"buddy::MoE", "x", x};
    detail::check_defined(a);
    detail::check_no_gradient(a);
    check_like_store(a);
    TORCH_CHECK(x.dim() >= 1 && x.size(-1) == router_.size(1),
                "buddy::MoE: x must be [..., hidden] with hidden = ", router_.size(1), ", but is ", x.sizes());
    at::NoGradGuard const inference;
    auto const rows = x.reshape({-1, x.size(-1)});
    if (rows.size(0) == 0) return at::empty_like(x);
    auto const top_k = session_->policy().shape().top_k;
    auto const batch = route(router_, rows, top_k, options_.normalise, session_->math());
    auto const outputs = session_->run(options_.layer, batch, rows);
    return detail::weighted_sum(outputs, detail::gate_weights_of(session_->plan(), rows.options())).view(x.sizes());
  }

  [[nodiscard]] expert_session& session() noexcept { return *session_; }

 private:
  void check_like_store(detail::argument const& a) const {
    detail::check_dtype(a, session_->store().dtype());
    detail::check_device(a, session_->store().device(), "the store");
  }

  moe_options options_;
  std::shared_ptr<expert_session> session_;
  at::Tensor router_;
};

TORCH_MODULE(MoE);

}  // namespace buddy::inline v0::torch
