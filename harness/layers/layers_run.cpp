// SPDX-License-Identifier: Apache-2.0
/// @file
/// What does not depend on the machine, and the modelled one.
#include "harness/layers/layers_run.hpp"

#include "harness/layers/modelled_machine.hpp"

#include <buddy/cache_budget.hpp>
#include <buddy/profile_builder.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace harness {

std::uint32_t slots_needed(layers_plan const& plan) {
  double largest = 0.0;
  for (policy_settings const& s : plan.modes) largest = std::max(largest, s.cache_ratio);
  auto const per_layer = static_cast<std::uint32_t>(largest * plan.stack.n_experts + 1e-9);
  return per_layer * plan.stack.n_layers;
}

buddy::profile profile_of_warm_up(layers_plan const& plan) {
  buddy::profile_builder builder{plan.stack.shape(), plan.stack.name};
  builder.begin_sequence();
  layer_reader reader{plan.routing};
  for (std::size_t i = 0; i != plan.warm_steps; ++i)
    for (std::uint16_t l = 0; l != plan.stack.n_layers; ++l) builder.observe(l, reader.at(i, l));
  return builder.finish();
}

layers_result result_of(layers_plan const& plan, std::string backend) {
  layers_result r;
  r.stack = plan.stack;
  r.backend = std::move(backend);
  r.routing = plan.routing.source;
  r.n_tokens = plan.routing.n_tokens;
  r.prefill = plan.prefill;
  r.round_steps = plan.round_steps;
  return r;
}

layers_result run_modelled(layers_plan const& plan, hardware const& h, timeline* drawn) {
  layers_result r = result_of(plan, "modelled");
  r.machine = h;
  modelled_machine machine{h, plan.stack.charged(), slots_needed(plan), flops_per_use(plan.stack)};
  r.modes = run_modes(plan, h, machine, drawn);
  return r;
}

void predict(layers_plan const& plan, layers_result& measured) {
  layers_result const modelled = run_modelled(plan, measured.machine);
  for (std::size_t m = 0; m != measured.modes.size(); ++m)
    if (!measured.modes[m].predicted)
      measured.modes[m].predicted = modelled.tokens_per_second(modelled.modes[m]).median;
}

}  // namespace harness
