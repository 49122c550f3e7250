// SPDX-License-Identifier: Apache-2.0
/// @file
/// Stacks on a GPU: the same loop as everywhere, on a machine of `cuda/`.
#include "harness/layers/cuda/cuda_machine.hpp"
#include "harness/layers/layers_backend.hpp"

#include <cstddef>

namespace harness {

memory_need cuda_memory(layers_plan const& plan) {
  auto const n = static_cast<std::uint64_t>(plan.stack.shape().n_keys());
  return {n * plan.stack.record.aligned_bytes(), 0, cuda_machine::staging_bytes(plan.stack, plan.routing.n_tokens)};
}

std::string why_no_cuda() { return cuda_machine::why_not(); }

namespace {

/// Steps that are one graph have other fixed costs than the host's loop.
void predict_alone(layers_plan const& plan, hardware const& h, layers_result& r) {
  if (plan.prefill) return;
  layers_result const modelled = run_modelled(plan, h);
  for (std::size_t m = 0; m != r.modes.size(); ++m)
    if (decides_alone(r.modes[m].settings)) r.modes[m].predicted = modelled.tokens_per_second(modelled.modes[m]).median;
}

}  // namespace

layers_result run_on_cuda(layers_plan const& plan, hardware const& base, timeline* drawn) {
  layers_result r = result_of(plan, "cuda");
  cuda_machine machine{plan.stack, plan.routing, slots_needed(plan)};
  r.machine = machine.measure(base);
  r.modes = run_modes(plan, r.machine, machine, drawn);
  predict_alone(plan, machine.measure_alone(r.machine), r);
  machine.require_healthy();
  return r;
}

}  // namespace harness
