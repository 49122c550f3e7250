// SPDX-License-Identifier: Apache-2.0
// What one decision costs: `resolve` for one token at one layer, in ns (an item is one layer).
//
// Routings are computed beforehand, so that only the policy is in the loop; copies arrive at once, and their `commit`
// is in the loop too. Each case counts what it was made to measure and refuses to report anything else.
#include "axes.hpp"

#include <buddy/buddy.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace {

using buddy::resolution;

constexpr std::uint16_t n_layers = 4;
constexpr std::uint32_t n_routings = 256;  // a power of two: the next one costs an addition and a mask

/// Routings of one token each: `top_k` distinct experts of the pool by falling weight, with scores to match.
class routings {
 public:
  /// @param misses  so many of a token's experts are from the upper half, the rest from the lower
  routings(buddy::model_shape const& shape, std::uint32_t misses) : shape_(shape) {
    experts_.resize(std::size_t{n_routings} * shape.top_k);
    weights_.resize(experts_.size());
    scores_.resize(std::size_t{n_routings} * shape.n_experts);
    for (std::uint32_t r = 0; r != n_routings; ++r) fill(r, misses);
  }

  [[nodiscard]] buddy::routing operator[](std::uint32_t i) const noexcept {
    std::uint32_t const r = i % n_routings;
    return {{experts_.data() + std::size_t{r} * shape_.top_k, shape_.top_k},
            {weights_.data() + std::size_t{r} * shape_.top_k, shape_.top_k},
            {scores_.data() + std::size_t{r} * shape_.n_experts, shape_.n_experts}};
  }

 private:
  std::uint32_t below(std::uint32_t n) { return buddy::below(state_ = buddy::splitmix64(state_), n); }

  void fill(std::uint32_t r, std::uint32_t misses) {
    std::uint32_t const half = shape_.n_experts / 2U;
    std::uint16_t* const experts = experts_.data() + std::size_t{r} * shape_.top_k;
    for (std::uint32_t s = 0; s != shape_.top_k;) {
      auto const e = static_cast<std::uint16_t>(below(half) + (s < misses ? half : 0));
      if (std::find(experts, experts + s, e) == experts + s) experts[s++] = e;
    }
    for (std::uint32_t s = shape_.top_k; s > 1; --s) std::swap(experts[s - 1], experts[below(s)]);
    float* const scores = scores_.data() + std::size_t{r} * shape_.n_experts;
    for (std::uint32_t e = 0; e != shape_.n_experts; ++e) scores[e] = 1e-6F * static_cast<float>(1 + below(1000));
    float const share = 1.0F / static_cast<float>(shape_.top_k);  // nearly flat, so that an entropy gate lets it pass
    for (std::uint32_t s = 0; s != shape_.top_k; ++s) {
      weights_[std::size_t{r} * shape_.top_k + s] = share * (1.0F - 0.01F * static_cast<float>(s));
      scores[experts[s]] = 0.5F * weights_[std::size_t{r} * shape_.top_k + s];
    }
  }

  buddy::model_shape shape_;
  std::uint64_t state_ = 1;
  std::vector<std::uint16_t> experts_;
  std::vector<float> weights_;
  std::vector<float> scores_;
};

buddy::model_shape shape_of(benchmark::State const& state) {
  return {n_layers, static_cast<std::uint16_t>(state.range(0)), static_cast<std::uint16_t>(state.range(1)), 1024};
}

/// Lists of 16 that begin in the upper half and end in the lower: half of each is resident.
buddy::buddy_table lists(buddy::model_shape const& shape) {
  buddy::buddy_table table(shape, 16);
  for (std::uint16_t l = 0; l != n_layers; ++l)
    for (std::uint16_t e = 0; e != shape.n_experts; ++e)
      for (std::uint32_t i = 0; i != 16; ++i)
        table.append({l, e}, static_cast<std::uint16_t>((e + 1 + i * (shape.n_experts / 2U + 3)) % shape.n_experts),
                     4096U - 128U * i);
  return table;
}

/// A policy whose lower half of experts is resident in every layer, and stays so unless something is fetched.
template <class Gate, class Selector>
auto half_resident(buddy::model_shape const& shape, Gate gate, Selector selector, buddy::policy_config config = {}) {
  config.refill_after = 0;
  buddy::policy policy{shape,
                       buddy::slot_cache<buddy::eviction::lru>(shape, buddy::cache_budget::from_ratio(shape, 0.5)),
                       buddy::prediction::none(shape),
                       gate,
                       selector,
                       config};
  for (std::uint16_t l = 0; l != n_layers; ++l) {
    std::vector<buddy::expert_key> keys(shape.n_experts / 2U);
    for (std::uint16_t e = 0; e != keys.size(); ++e) keys[e] = {l, e};
    policy.cache().warm({keys.data(), static_cast<std::uint32_t>(keys.size())});
  }
  return policy;
}

/// Resolves layer after layer; @returns layers resolved.
template <class Policy>
std::uint64_t run(benchmark::State& state, Policy& policy, routings const& r) {
  std::uint32_t i = 0;
  policy.begin_step();
  for (auto _ : state) {
    std::uint16_t const layer = i % n_layers;
    if (layer == 0) policy.begin_step();
    auto const& plan = policy.resolve(layer, r[i++]);
    for (auto const& c : plan.fetches) policy.commit(c);
    benchmark::DoNotOptimize(plan.assignments.data);
  }
  state.SetItemsProcessed(state.iterations());
  return i;
}

/// Refuses the result unless every layer had `misses` misses that ended as `how`.
void expect(benchmark::State& state, buddy::layer_counters const& n, std::uint64_t layers, std::uint64_t misses,
            resolution how) {
  auto const hits = layers * (static_cast<std::uint64_t>(state.range(1)) - misses);
  bool const right = n.slots_ending(how) == layers * misses + (how == resolution::own ? hits : 0) &&
                     n.slots_ending(resolution::own) == hits;
  if (!right) state.SkipWithError("the slots did not end as this case says");
}

void all_hits(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto policy = half_resident(shape, buddy::sensitivity::always{}, buddy::selection::none{});
  auto const layers = run(state, policy, routings(shape, 0));
  expect(state, policy.total(), layers, 0, resolution::own);
}

void buddymoe(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto const table = lists(shape);
  auto policy = half_resident(shape, buddy::sensitivity::entropy_gate::fixed(0.95),
                              buddy::selection::coactivation{.table = table.ref()}, {.rho = 3});
  auto const layers = run(state, policy, routings(shape, 2));
  expect(state, policy.total(), layers, 2, resolution::buddy);
}

void live_score(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto policy = half_resident(shape, buddy::sensitivity::always{}, buddy::selection::live_score{},
                              {.weights = buddy::weight_mode::own});
  auto const layers = run(state, policy, routings(shape, 2));
  expect(state, policy.total(), layers, 2, resolution::buddy);
}

void drop(benchmark::State& state) {
  auto const shape = shape_of(state);
  auto policy = half_resident(shape, buddy::sensitivity::never{}, buddy::selection::none{},
                              {.on_refused = resolution::drop, .renormalise = true});
  auto const layers = run(state, policy, routings(shape, 2));
  expect(state, policy.total(), layers, 2, resolution::drop);
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
  benchmark::RegisterBenchmark("policy/resolve/buddymoe", buddymoe)->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("policy/resolve/live_score", live_score)->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("policy/resolve/drop", drop)->Apply(axes::experts_and_top_k);
  benchmark::RegisterBenchmark("policy/resolve/fetch", fetch)->Apply(axes::experts_and_top_k);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
