// SPDX-License-Identifier: Apache-2.0
// What the cache costs by itself: finding an expert that is there, and letting one in that is not, in ns.
#include "axes.hpp"

#include <buddy/buddy.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>

namespace {

/// One layer with twice as many experts as slots, the lower half resident.
template <class Eviction>
buddy::slot_cache<Eviction> half_full(std::uint32_t slots) {
  buddy::model_shape const shape{
      .n_layers = 2, .n_experts = static_cast<std::uint16_t>(slots), .top_k = 1, .expert_bytes = 1};
  buddy::slot_cache<Eviction> cache(shape, {.bytes = slots, .layout = buddy::pool_layout::global});
  for (std::uint16_t e = 0; e != slots; ++e) {
    buddy::expert_key const key{0, e};
    cache.warm({&key, 1});
  }
  return cache;
}

template <class Eviction>
void find_hit(benchmark::State& state) {
  auto const slots = static_cast<std::uint32_t>(state.range(0));
  auto cache = half_full<Eviction>(slots);
  std::uint64_t random = 1;
  std::uint64_t found = 0;
  cache.begin_batch({1, 0, 2});
  for (auto _ : state) {
    auto const e = static_cast<std::uint16_t>(buddy::below(random = buddy::splitmix64(random), slots));
    buddy::slot_id const s = cache.residents(0)[e];
    if (s == buddy::no_slot) continue;
    cache.touch(s);
    ++found;
  }
  if (found != static_cast<std::uint64_t>(state.iterations())) state.SkipWithError("a resident was not found");
  state.SetItemsProcessed(state.iterations());
}

template <class Eviction>
void enter_miss(benchmark::State& state) {
  auto const slots = static_cast<std::uint32_t>(state.range(0));
  auto cache = half_full<Eviction>(slots);
  std::uint64_t i = 0;
  bool entered = true;
  for (auto _ : state) {
    auto const layer = static_cast<std::uint16_t>(1 - i / slots % 2);  // the layer that is not resident
    cache.begin_batch({i + 1, layer, 2});
    buddy::slot_id const s = cache.reserve({layer, static_cast<std::uint16_t>(i++ % slots)});
    entered = entered && s != buddy::no_slot;
    if (s != buddy::no_slot) cache.commit(s);
  }
  if (!entered || cache.evictions() != i) state.SkipWithError("a miss did not take the place of another expert");
  state.SetItemsProcessed(state.iterations());
}

template <class Eviction>
void add() {
  std::string const name{Eviction::name};
  benchmark::RegisterBenchmark(("expert_cache/find_hit/" + name).c_str(), find_hit<Eviction>)->Apply(axes::slots);
  benchmark::RegisterBenchmark(("expert_cache/enter_miss/" + name).c_str(), enter_miss<Eviction>)->Apply(axes::slots);
}

}  // namespace

int main(int argc, char** argv) {
  add<buddy::eviction::fifo>();  // enters in the order in which `enter_miss` asks: each ask is a miss
  add<buddy::eviction::lru>();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
