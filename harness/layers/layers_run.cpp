// SPDX-License-Identifier: Apache-2.0
/// @file
/// What does not depend on the machine, and the modelled one.
#include "harness/layers/layers_run.hpp"

#include "harness/layers/modelled_machine.hpp"

#include <buddy/cache_budget.hpp>
#include <buddy/profile_builder.hpp>

#include <algorithm>

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

namespace detail {

buddy::layer_counters difference(buddy::layer_counters now, buddy::layer_counters const& before) {
  now.tokens -= before.tokens;
  now.lookups -= before.lookups;
  now.hits -= before.hits;
  for (std::size_t i = 0; i != buddy::n_resolutions; ++i) now.slots[i] -= before.slots[i];
  for (std::size_t i = 0; i != buddy::n_refusals; ++i) now.refusals[i] -= before.refusals[i];
  now.fetches -= before.fetches;
  now.staged -= before.staged;
  now.waits -= before.waits;
  now.refills -= before.refills;
  now.prefetches -= before.prefetches;
  now.useful_prefetches -= before.useful_prefetches;
  now.late_prefetches -= before.late_prefetches;
  now.wasted_prefetches -= before.wasted_prefetches;
  now.cancelled_refills -= before.cancelled_refills;
  now.cancelled_prefetches -= before.cancelled_prefetches;
  now.stand_in_rank_sum -= before.stand_in_rank_sum;
  return now;
}

engine_totals difference(engine_totals now, engine_totals const& before) {
  now.steps -= before.steps;
  for (std::size_t i = 0; i != now.link_bytes.size(); ++i) now.link_bytes[i] -= before.link_bytes[i];
  now.background_cancelled -= before.background_cancelled;
  return now;
}

}  // namespace detail

layers_result run_modelled(layers_plan const& plan, hardware const& h, timeline* drawn) {
  layers_result r;
  r.stack = plan.stack;
  r.backend = "modelled";
  r.machine = h;
  r.routing = plan.routing.source;
  r.n_tokens = plan.routing.n_tokens;
  r.prefill = plan.prefill;
  r.round_steps = plan.round_steps;
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
