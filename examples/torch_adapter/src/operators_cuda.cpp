// SPDX-License-Identifier: Apache-2.0
// `resolve` on CUDA tensors; compiled only against a LibTorch that has CUDA.
#include "resolve_launch.hpp"

#include <ATen/cuda/CUDAContext.h>
#include <buddy_torch/operators.hpp>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

namespace buddy::inline v0::torch {

resolved_tensors resolve_cuda(routing_tensors const& r, resolve_options const& o) {
  detail::check("buddy::resolve", r);
  detail::check(o);
  c10::cuda::CUDAGuard const on_device{r.ids.device()};
  auto const ids = r.ids.contiguous();
  auto const weights = r.weights.to(at::kFloat).contiguous();
  auto const scores = r.scores.to(at::kFloat).contiguous();
  auto const slot_of = r.slot_of.contiguous();
  auto const slots = at::empty(ids.sizes(), ids.options().dtype(at::kInt));
  auto const slot_weights = at::empty(ids.sizes(), ids.options().dtype(at::kFloat));
  auto const how = at::empty(ids.sizes(), ids.options().dtype(at::kChar));
  auto const n_slots = static_cast<std::uint32_t>(ids.numel());
  auto const work = at::empty({static_cast<std::int64_t>(resolve_work_bytes(n_slots))}, how.options());
  resolve_arrays const arrays{static_cast<std::uint32_t>(r.n_tokens()),
                              static_cast<std::uint16_t>(r.n_experts()),
                              static_cast<std::uint16_t>(r.top_k()),
                              ids.data_ptr<std::int64_t>(),
                              weights.data_ptr<float>(),
                              scores.data_ptr<float>(),
                              reinterpret_cast<slot_id const*>(slot_of.data_ptr<std::int32_t>()),
                              reinterpret_cast<std::byte*>(work.data_ptr()),
                              reinterpret_cast<slot_id*>(slots.data_ptr<std::int32_t>()),
                              slot_weights.data_ptr<float>(),
                              how.data_ptr<std::int8_t>()};
  C10_CUDA_CHECK(launch_resolve(arrays, o.config(), o.gate().threshold_q16, at::cuda::getCurrentCUDAStream().stream()));
  return {slots, slot_weights.to(r.weights.scalar_type()), how};
}

}  // namespace buddy::inline v0::torch
