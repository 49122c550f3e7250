// SPDX-License-Identifier: Apache-2.0
// The loadable library: torch.ops.load_library("libbuddy_torch.so"), then torch.ops.buddy.resolve and .stand_in.
// Functional and free of mutation, so that torch.compile and torch.export can trace them.
#include <buddy_torch/operators.hpp>
#include <buddy_torch/resolve_on_tensors.hpp>
#include <buddy_torch/resolve_rows.hpp>
#include <torch/library.h>

namespace buddy::inline v0::torch {

namespace {

using at::Tensor;

std::tuple<Tensor, Tensor, Tensor> in_three(resolved_tensors const& r) { return {r.slots, r.weights, r.resolutions}; }

/// The keywords as the library means them.
resolve_options options_of(double protect_share, std::int64_t rho, c10::optional<double> beta,
                           c10::string_view gate_weight, c10::string_view on_refused, bool renormalise, bool exact) {
  auto const text = [](c10::string_view s) { return std::string_view{s.data(), s.size()}; };
  return {.protect_share = protect_share,
          .rho = rho,
          .beta = beta ? std::optional{*beta} : std::nullopt,
          .weights = detail::weight_mode_named(text(gate_weight)),
          .on_refused = detail::refused_named(text(on_refused)),
          .renormalise = renormalise,
          .exact = exact};
}

template <resolved_tensors (*Kernel)(routing_tensors const&, resolve_options const&)>
std::tuple<Tensor, Tensor, Tensor> resolve(Tensor const& ids, Tensor const& weights, Tensor const& scores,
                                           Tensor const& slot_of, double protect_share, std::int64_t rho,
                                           c10::optional<double> beta, c10::string_view gate_weight,
                                           c10::string_view on_refused, bool renormalise, bool exact) {
  return in_three(Kernel({ids, weights, scores, slot_of},
                         options_of(protect_share, rho, beta, gate_weight, on_refused, renormalise, exact)));
}

template <Tensor (*Kernel)(routing_tensors const&)>
Tensor stand_in(Tensor const& ids, Tensor const& scores, Tensor const& slot_of) {
  return Kernel({ids, at::empty_like(ids, ids.options().dtype(at::kFloat)), scores, slot_of});
}

/// Shapes and kinds only: what a tracer asks for.
resolved_tensors resolve_meta(routing_tensors const& r, resolve_options const& o) {
  detail::check_kinds("buddy::resolve", r);
  detail::check(o);
  auto const like_ids = [&](at::ScalarType type) { return at::empty_like(r.ids, r.ids.options().dtype(type)); };
  return {like_ids(at::kInt), like_ids(r.weights.scalar_type()), like_ids(at::kChar)};
}

Tensor stand_in_meta(routing_tensors const& r) {
  detail::check_kinds("buddy::stand_in", r);
  return at::empty_like(r.ids);
}

}  // namespace

}  // namespace buddy::inline v0::torch

namespace adapter = buddy::torch;

TORCH_LIBRARY(buddy, m) {
  m.def(
      "resolve(Tensor ids, Tensor weights, Tensor scores, Tensor slot_of, *, float protect_share=0.12, int rho=32, "
      "float? beta=None, str gate_weight='keep', str on_refused='fetch', bool renormalise=False, bool exact=False) "
      "-> (Tensor slots, Tensor slot_weights, Tensor resolution)");
  m.def("stand_in(Tensor ids, Tensor scores, Tensor slot_of) -> Tensor");
}

TORCH_LIBRARY_IMPL(buddy, CPU, m) {
  m.impl("resolve", adapter::resolve<adapter::resolve_rows>);
  m.impl("stand_in", adapter::stand_in<adapter::stand_in_rows>);
}

TORCH_LIBRARY_IMPL(buddy, Meta, m) {
  m.impl("resolve", adapter::resolve<adapter::resolve_meta>);
  m.impl("stand_in", adapter::stand_in<adapter::stand_in_meta>);
}

// LibTorch 1.13 has no default here, as it has for every other kind of autograd.
TORCH_LIBRARY_IMPL(buddy, AutogradMeta, m) {
  m.impl("resolve", torch::CppFunction::makeFallthrough());
  m.impl("stand_in", torch::CppFunction::makeFallthrough());
}

// Every device that has no kernel of its own.
TORCH_LIBRARY_IMPL(buddy, CompositeExplicitAutograd, m) {
  m.impl("resolve", adapter::resolve<adapter::resolve_on_tensors>);
  m.impl("stand_in", adapter::stand_in<adapter::stand_in_on_tensors>);
}

#if defined(BUDDY_TORCH_CUDA)
TORCH_LIBRARY_IMPL(buddy, CUDA, m) { m.impl("resolve", adapter::resolve<adapter::resolve_cuda>); }
#endif
