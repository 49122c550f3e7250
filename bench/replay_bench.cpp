// SPDX-License-Identifier: Apache-2.0
// Look-ups a second of a replay, the trace in memory: an item is one expert of one token at one layer.
//
// BUDDY_BENCH_TRACE names a routing trace to replay instead of the one made here.
#include "axes.hpp"
#include "traces.hpp"

#include <buddy/buddy.hpp>
#include <buddy/io/trace_io.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

buddy::routing_trace const& trace() {
  static auto const chosen = [] {
    char const* const path = std::getenv("BUDDY_BENCH_TRACE");
    if (path != nullptr) return buddy::io::read_trace(path);
    return traces::recent({.n_layers = 26, .n_experts = 64, .top_k = 6, .expert_bytes = 1}, 1024, 1);
  }();
  return chosen;
}

/// Slots of the axis, in whole experts of each layer where layers have pools of their own.
buddy::cache_budget budget_of(benchmark::State const& state, buddy::pool_layout layout) {
  return {static_cast<std::uint64_t>(state.range(0)), layout, {}};
}

std::uint64_t lookups_of(buddy::routing_trace const& t) {
  std::uint64_t n = 0;
  for (auto const e : t.experts) n += e != buddy::no_expert ? 1U : 0U;
  return n;
}

/// Replays the whole trace from an empty cache; counts must not change from one time to the next.
template <class Eviction, class... Arguments>
void replay(benchmark::State& state, buddy::pool_layout layout, Arguments const&... arguments) {
  auto const shape = trace().shape(1);
  buddy::replay_count first{};
  for (auto _ : state) {
    buddy::replayer<Eviction> cache(shape, budget_of(state, layout), arguments...);
    cache.run(trace());
    auto const total = cache.total();
    if (first.lookups == 0) first = total;
    if (total != first) state.SkipWithError("two replays of one trace differ");
  }
  if (first.lookups != lookups_of(trace())) state.SkipWithError("not every expert was looked up");
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(first.lookups));
  state.counters["hit_rate"] = static_cast<double>(first.hits) / static_cast<double>(first.lookups);
}

template <class Eviction, class... Arguments>
void add(std::string const& name, Arguments const&... arguments) {
  for (auto const layout : {buddy::pool_layout::global, buddy::pool_layout::per_layer}) {
    std::string const pool = layout == buddy::pool_layout::global ? "global" : "per-layer";
    auto const run = [=](benchmark::State& state) { replay<Eviction>(state, layout, arguments...); };
    benchmark::RegisterBenchmark(("replay/" + name + "/pool:" + pool).c_str(), run)->Apply(axes::slots_of_one_model);
  }
}

template <class... Evictions>
void add_plain() {
  (add<Evictions>(std::string{Evictions::name}), ...);
}

}  // namespace

int main(int argc, char** argv) {
  namespace evict = buddy::eviction;
  add_plain<evict::lru, evict::lru_token, evict::lru_ds, evict::fifo, evict::clock, evict::lfu, evict::lfu_decayed,
            evict::lfru, evict::slru, evict::arc, evict::sieve, evict::s3_fifo, evict::least_stale, evict::window_hot,
            evict::random>();
  auto const shape = trace().shape(1);
  std::vector<std::uint64_t> counts(shape.n_keys());
  for (std::size_t i = 0; i != trace().experts.size(); ++i) {
    auto const layer = static_cast<std::uint16_t>(i / shape.top_k % shape.n_layers);
    if (trace().experts[i] != buddy::no_expert) ++counts[shape.index({layer, trace().experts[i]})];
  }
  add<evict::static_top>("static_top", shape,
                         buddy::view<std::uint64_t const>{counts.data(), static_cast<std::uint32_t>(counts.size())});
  auto const future = buddy::eviction::known_future::of(trace());
  add<evict::belady>("belady", future);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
