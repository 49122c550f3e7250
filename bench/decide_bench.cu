// SPDX-License-Identifier: Apache-2.0
// What the decision adds to a router's top-k on the device: two graphs of 48 layers each, with and without it, replayed
// in turns; the time of a layer is the graph's divided by 48 (an item is one layer).
#include "device.hpp"

#include <buddy/buddy.hpp>
#include <buddy/cuda/decide.cuh>
#include <buddy/cuda/route_top_k.cuh>

#include <cuda_runtime.h>

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

constexpr std::uint32_t n_layers = 48;
constexpr std::uint16_t top_k = 8;

/// One layer with every other expert resident.
buddy::cuda::layer_arrays arrays(std::uint16_t n_experts, std::uint32_t n_tokens) {
  std::vector<buddy::slot_id> slot_of(n_experts, buddy::no_slot);
  for (std::uint32_t e = 0; e < n_experts; e += 2) slot_of[e] = buddy::slot_id{e / 2};
  std::vector<float> logits(std::size_t{n_tokens} * n_experts);
  for (std::size_t i = 0; i != logits.size(); ++i)
    logits[i] = static_cast<float>(buddy::below(buddy::splitmix64(i), 1000)) / 200.0F;
  std::size_t const routed = std::size_t{n_tokens} * top_k;
  return {.layer = 0,
          .n_experts = n_experts,
          .top_k = top_k,
          .n_tokens = n_tokens,
          .max_tokens = n_tokens,
          .slot_of = on_device(slot_of),
          .step = on_device(std::vector<std::uint64_t>(1)),
          .logits = on_device(logits),
          .experts = on_device(std::vector<std::uint16_t>(routed)),
          .weights = on_device(std::vector<float>(routed)),
          .scores = on_device(logits),
          .slots = on_device(std::vector<buddy::slot_id>(routed, buddy::slot_id{99'999})),
          .slot_weights = on_device(std::vector<float>(routed)),
          .outcomes = on_device(std::vector<buddy::slot_outcome>(routed)),
          .last_use = on_device(std::vector<std::uint32_t>(n_experts))};
}

/// The slots are those of residents: the kernel ran, and found stand-ins.
bool is_right(buddy::cuda::layer_arrays const& a) {
  std::vector<buddy::slot_id> slots(std::size_t{a.n_tokens} * top_k);
  require(cudaMemcpy(slots.data(), a.slots, slots.size() * sizeof slots[0], cudaMemcpyDeviceToHost));
  for (auto const s : slots)
    if (static_cast<std::uint32_t>(s) >= a.n_experts / 2U) return false;
  return true;
}

template <class Gate, class Selector>
void decide(benchmark::State& state, Gate gate, Selector selector) {
  auto const a = arrays(static_cast<std::uint16_t>(state.range(0)), static_cast<std::uint32_t>(state.range(1)));
  buddy::cuda::decision_rules const rules{};
  graph_clock const clock;
  auto const alone = clock.capture(
      n_layers, [&](cudaStream_t stream, std::size_t) { return buddy::cuda::route_top_k(a, rules.router, stream); });
  auto const whole = clock.capture(n_layers, [&](cudaStream_t stream, std::size_t) {
    return buddy::cuda::decide(a, rules, gate, selector, stream);
  });
  for (int i = 0; i != 20; ++i) benchmark::DoNotOptimize(clock.seconds(alone) + clock.seconds(whole));  // warm up
  double top_k_s = 0.0;
  double decide_s = 0.0;
  for (auto _ : state) {
    top_k_s += clock.seconds(alone);
    double const s = clock.seconds(whole);
    decide_s += s;
    state.SetIterationTime(s / n_layers);
  }
  if (!is_right(a)) state.SkipWithError("a slot is not a resident's");
  auto const layers = static_cast<double>(state.iterations()) * n_layers;
  state.counters["top_k_us"] = top_k_s / layers * 1e6;
  state.counters["added_us"] = (decide_s - top_k_s) / layers * 1e6;
  state.SetItemsProcessed(state.iterations() * n_layers);
}

void live_score(benchmark::State& state) {
  decide(state, buddy::sensitivity::always{}, buddy::selection::live_score{});
}

}  // namespace

int main(int argc, char** argv) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("bench_decide: no GPU: skipped\n");
    return 0;
  }
  benchmark::RegisterBenchmark("cuda/decide/live_score", live_score)
      ->ArgNames({"experts", "tokens"})
      ->ArgsProduct({{64, 128, 256}, {1, 4, 16}})
      ->UseManualTime()
      ->Iterations(200)  // bounded: the library looks at manual time alone
      ->Unit(benchmark::kMicrosecond);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
