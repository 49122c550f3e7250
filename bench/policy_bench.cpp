// SPDX-License-Identifier: Apache-2.0
// What one decision costs: `resolve` for one batch at one layer, in ns (an item is one layer).
//
// Routings are computed beforehand, so that only the policy is in the loop; copies arrive at once, and their `commit`
// is in the loop too. Each case counts what it was made to measure and refuses to report anything else.
#include "axes.hpp"
#include "decisions.hpp"

#include <buddy/buddy.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>

namespace {

using buddy::resolution;
using decisions::half_resident;
using decisions::routings;
using decisions::run;
using decisions::shape_of;

void all_hits(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto policy = half_resident(shape, buddy::sensitivity::always{}, buddy::selection::none{});
  auto const layers = run(state, policy, routings(shape, 0));
  decisions::expect(state, policy.total(), layers, 0, resolution::own);
}

void batch_of_hits(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto const n_tokens = static_cast<std::uint32_t>(state.range(2));
  auto policy = half_resident(shape, buddy::sensitivity::always{}, buddy::selection::none{}, {.max_tokens = n_tokens});
  auto const layers = run(state, policy, routings(shape, 0), n_tokens);
  decisions::expect(state, policy.total(), layers * n_tokens, 0, resolution::own);
}

void buddymoe(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto const table = decisions::lists(shape);
  auto policy = half_resident(shape, buddy::sensitivity::entropy_gate::fixed(0.95),
                              buddy::selection::coactivation{.table = table.ref()}, {.rho = 3, .refill_after = 0});
  auto const layers = run(state, policy, routings(shape, 2));
  decisions::expect(state, policy.total(), layers, 2, resolution::buddy);
}

void live_score(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto policy = half_resident(shape, buddy::sensitivity::always{}, buddy::selection::live_score{},
                              {.weights = buddy::weight_mode::own, .refill_after = 0});
  auto const layers = run(state, policy, routings(shape, 2));
  decisions::expect(state, policy.total(), layers, 2, resolution::buddy);
}

/// Every miss is weighed for a refill, and no copy can start: what is resident stays.
void refill_weighed(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto policy = half_resident(shape, buddy::sensitivity::always{}, buddy::selection::live_score{},
                              {.weights = buddy::weight_mode::own});
  policy.background_room(0);
  auto const layers = run(state, policy, routings(shape, 2));
  decisions::expect(state, policy.total(), layers, 2, resolution::buddy);
  if (policy.total().refills != 0) state.SkipWithError("a refill was planned without room");
}

/// What is resident changes as it runs: the slots must add up, and each refill come from a miss.
void refill(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto policy = half_resident(shape, buddy::sensitivity::always{}, buddy::selection::live_score{},
                              {.weights = buddy::weight_mode::own});
  auto const layers = run(state, policy, routings(shape, 2));
  auto const total = policy.total();
  auto const given = total.slots_ending(resolution::buddy);
  if (given + total.slots_ending(resolution::own) != layers * shape.top_k || total.refills == 0 ||
      total.refills > given)
    state.SkipWithError("the slots did not end as hits, stand-ins and refills");
  state.counters["refills_per_layer"] = static_cast<double>(total.refills) / static_cast<double>(layers);
}

void drop(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto policy = half_resident(shape, buddy::sensitivity::never{}, buddy::selection::none{},
                              {.on_refused = resolution::drop, .renormalise = true, .refill_after = 0});
  auto const layers = run(state, policy, routings(shape, 2));
  decisions::expect(state, policy.total(), layers, 2, resolution::drop);
}

/// What is resident changes as it runs: there is no count to expect but that the slots add up and most misses are real.
void fetch(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto policy = half_resident(shape, buddy::sensitivity::never{}, buddy::selection::none{});
  auto const layers = run(state, policy, routings(shape, 2));
  auto const total = policy.total();
  auto const fetched = total.slots_ending(resolution::fetch);
  if (fetched + total.slots_ending(resolution::own) != layers * shape.top_k || fetched != total.fetches ||
      total.staged != 0)
    state.SkipWithError("the slots did not end as fetches");
  state.counters["fetches_per_layer"] = static_cast<double>(fetched) / static_cast<double>(layers);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::RegisterBenchmark("policy/resolve/all_hits", all_hits)->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("policy/resolve/batch_of_hits", batch_of_hits)->Apply(axes::experts_top_k_and_tokens);
  benchmark::RegisterBenchmark("policy/resolve/buddymoe", buddymoe)->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("policy/resolve/live_score", live_score)->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("policy/resolve/refill_weighed", refill_weighed)->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("policy/resolve/refill", refill)->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("policy/resolve/drop", drop)->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("policy/resolve/fetch", fetch)->Apply(axes::experts_and_top_k);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
