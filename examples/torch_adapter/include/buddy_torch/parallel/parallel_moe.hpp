// SPDX-License-Identifier: Apache-2.0
/// @file
/// The MoE block whose experts are spread over the ranks of a process group.
#pragma once

#include <buddy_torch/checks.hpp>
#include <buddy_torch/moe.hpp>
#include <buddy_torch/parallel/parallel_session.hpp>

#include <cstdint>
#include <memory>
#include <utility>

namespace buddy::inline v0::torch {

/// As `MoE`, for one rank's tokens. Every rank runs it for every layer, also without tokens.
///
/// With a `hop_config` that replaces nothing, and `row_math::row_exact`, each token's bits are those of `MoE` in a
/// single process.
class ParallelMoEImpl : public nn::Module {
 public:
  /// @param router  [n_experts, hidden], the same on all ranks
  ParallelMoEImpl(moe_options const& options, at::Tensor const& router, std::shared_ptr<parallel_session> session)
      : options_{options}, session_{std::move(session)} {
    detail::argument const a{"buddy::ParallelMoE", "router", router};
    auto const& sizes = session_->local().store().sizes();
    detail::check_defined(a);
    detail::check_dims(a, 2, "[n_experts, hidden]");
    detail::check_size(a, 0, sizes.n_experts, "the store's n_experts");
    detail::check_size(a, 1, sizes.hidden, "the store's hidden");
    check_like_store(a);
    router_ = register_parameter("gate", router.detach(), /*requires_grad=*/false);
  }

  /// @param x  [n_tokens, hidden] of this rank; n_tokens may be 0
  /// @throws peer_error when another rank is gone, late or out of step
  at::Tensor forward(at::Tensor const& x) {
    detail::argument const a{"buddy::ParallelMoE", "x", x};
    detail::check_defined(a);
    detail::check_no_gradient(a);
    check_like_store(a);
    detail::check_dims(a, 2, "[n_tokens, hidden]");
    detail::check_size(a, 1, router_.size(1), "hidden");
    at::NoGradGuard const inference;
    auto const batch = route(router_, x, session_->shape().top_k, options_.normalise, session_->local().math());
    auto const outputs = session_->run(options_.layer, batch, x);
    auto const decisions = session_->decisions();
    auto const weights = at::empty({x.size(0), session_->shape().top_k}, at::kFloat);
    for (std::uint32_t i = 0; i != decisions.size; ++i) weights.data_ptr<float>()[i] = decisions[i].weight;
    return detail::weighted_sum(outputs, weights.to(x.options()));
  }

  [[nodiscard]] parallel_session& session() noexcept { return *session_; }

 private:
  void check_like_store(detail::argument const& a) const {
    detail::check_dtype(a, session_->local().store().dtype());
    detail::check_device(a, session_->local().store().device(), "the store");
  }

  moe_options options_;
  std::shared_ptr<parallel_session> session_;
  at::Tensor router_;
};

TORCH_MODULE(ParallelMoE);

}  // namespace buddy::inline v0::torch
