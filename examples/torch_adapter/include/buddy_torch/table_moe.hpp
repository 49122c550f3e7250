// SPDX-License-Identifier: Apache-2.0
/// @file
/// The MoE block whose decisions stay on the device.
#pragma once

#include <buddy_torch/checks.hpp>
#include <buddy_torch/moe.hpp>
#include <buddy_torch/table_session.hpp>

#include <memory>
#include <tuple>
#include <utility>

namespace buddy::inline v0::torch {

/// As `MoE`, but no layer waits for the host; misses get a stand-in or are left out, residents follow a step behind.
/// The layer with the number 0 begins a step.
class TableMoEImpl : public nn::Module {
 public:
  /// @param router  [n_experts, hidden], of the dtype and device of the session's store
  TableMoEImpl(moe_options const& options, at::Tensor const& router, std::shared_ptr<table_session> session)
      : options_{options}, session_{std::move(session)} {
    detail::argument const a{"buddy::TableMoE", "router", router};
    detail::check_defined(a);
    detail::check_dims(a, 2, "[n_experts, hidden]");
    detail::check_size(a, 0, session_->store().sizes().n_experts, "the store's n_experts");
    detail::check_size(a, 1, session_->store().sizes().hidden, "the store's hidden");
    router_ = register_parameter("gate", router.detach(), /*requires_grad=*/false);
  }

  /// @param x  [n_tokens, hidden], n_tokens at most the policy's max_tokens
  at::Tensor forward(at::Tensor const& x) {
    detail::argument const a{"buddy::TableMoE", "x", x};
    detail::check_defined(a);
    detail::check_no_gradient(a);
    detail::check_device(a, session_->store().device(), "the store");
    detail::check_dtype(a, session_->store().dtype());
    detail::check_dims(a, 2, "[n_tokens, hidden]");
    detail::check_size(a, 1, router_.size(1), "hidden");
    TORCH_CHECK_VALUE(x.size(0) >= 1 && x.size(0) <= session_->policy().config().max_tokens, "buddy::TableMoE: x has ",
                      x.size(0), " tokens, but must have 1 to max_tokens = ", session_->policy().config().max_tokens);
    at::NoGradGuard const inference;
    if (options_.layer == 0) session_->begin_step();
    auto const scores = at::softmax(at::linear(x, router_).to(at::kFloat), -1);
    auto [weights, ids] = scores.topk(session_->policy().shape().top_k, -1);
    if (options_.normalise) weights = weights / weights.sum(-1, true);
    return session_->run(options_.layer, {ids, weights, scores, {}}, x);
  }

  [[nodiscard]] table_session& session() noexcept { return *session_; }

 private:
  moe_options options_;
  std::shared_ptr<table_session> session_;
  at::Tensor router_;
};

TORCH_MODULE(TableMoE);

}  // namespace buddy::inline v0::torch
