// SPDX-License-Identifier: Apache-2.0
// The price of choosing components at run time: the same decisions by a policy composed by the compiler, and by the
// harness's, whose components are chosen by name.
#include "axes.hpp"
#include "decisions.hpp"
#include "harness/any_predictor.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/registry.hpp"

#include <buddy/buddy.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>

namespace {

using buddy::resolution;

/// What `decisions::half_resident` makes, of components that were chosen at run time.
harness::harness_policy half_resident(buddy::model_shape const& shape, harness::any_sensitivity::model gate,
                                      harness::any_selector::model selector, buddy::policy_config const& config) {
  harness::any_sensitivity any_gate;
  any_gate.chosen = gate;
  harness::any_selector any_selector;
  any_selector.chosen = selector;
  auto const lru = harness::find_named(harness::evictions(), "eviction", "lru").make;
  using cache = buddy::slot_cache<harness::any_eviction>;
  return {
      shape,
      decisions::warmed(cache(shape, buddy::cache_budget::from_ratio(shape, 0.5), lru, harness::eviction_options{})),
      harness::any_predictor{buddy::prediction::none(shape)},
      any_gate,
      any_selector,
      config};
}

template <class Policy>
void measure(benchmark::State& state, Policy policy, std::uint32_t misses, resolution how) {
  auto const layers = decisions::run(state, policy, decisions::routings(policy.shape(), misses));
  decisions::expect(state, policy.total(), layers, misses, how);
}

constexpr buddy::policy_config own_weights{.weights = buddy::weight_mode::own, .refill_after = 0};

void static_all_hits(benchmark::State& state) {
  auto const shape = decisions::shape_of(state);
  measure(state, decisions::half_resident(shape, buddy::sensitivity::always{}, buddy::selection::none{}), 0,
          resolution::own);
}

void any_all_hits(benchmark::State& state) {
  auto const shape = decisions::shape_of(state);
  measure(state, half_resident(shape, harness::any_sensitivity::model::always, harness::any_selector::model::none, {}),
          0, resolution::own);
}

void static_live_score(benchmark::State& state) {
  auto const shape = decisions::shape_of(state);
  measure(state,
          decisions::half_resident(shape, buddy::sensitivity::always{}, buddy::selection::live_score{}, own_weights), 2,
          resolution::buddy);
}

void any_live_score(benchmark::State& state) {
  auto const shape = decisions::shape_of(state);
  measure(state,
          half_resident(shape, harness::any_sensitivity::model::always, harness::any_selector::model::live_score,
                        own_weights),
          2, resolution::buddy);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::RegisterBenchmark("any/resolve/all_hits/composed:compiler", static_all_hits)
      ->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("any/resolve/all_hits/composed:names", any_all_hits)->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("any/resolve/live_score/composed:compiler", static_live_score)
      ->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("any/resolve/live_score/composed:names", any_live_score)->Apply(axes::experts_and_top_k);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
