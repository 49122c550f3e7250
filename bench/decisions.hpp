// SPDX-License-Identifier: Apache-2.0
// What the benchmarks of a decision share: routings made beforehand, policies half of whose experts are resident, the
// loop, and the check of what was measured.
#pragma once

#include <buddy/buddy.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace decisions {

inline constexpr std::uint16_t n_layers = 4;

/// Tokens by the hundred: `top_k` distinct experts each by falling weight, with scores to match.
class routings {
 public:
  static constexpr std::uint32_t n_tokens = 256;  // a power of two: the next ones cost an addition and a mask

  /// @param misses  so many of a token's experts are from the upper half, the rest from the lower
  routings(buddy::model_shape const& shape, std::uint32_t misses) : shape_(shape) {
    experts_.resize(std::size_t{n_tokens} * shape.top_k);
    weights_.resize(experts_.size());
    scores_.resize(std::size_t{n_tokens} * shape.n_experts);
    for (std::uint32_t t = 0; t != n_tokens; ++t) fill(t, misses);
  }

  /// The i-th batch of `n` tokens. @pre n divides n_tokens
  [[nodiscard]] buddy::routing batch(std::uint32_t i, std::uint32_t n) const noexcept {
    std::uint32_t const first = i * n % n_tokens;
    return {{experts_.data() + std::size_t{first} * shape_.top_k, n * shape_.top_k},
            {weights_.data() + std::size_t{first} * shape_.top_k, n * shape_.top_k},
            {scores_.data() + std::size_t{first} * shape_.n_experts, n * shape_.n_experts},
            n};
  }

 private:
  std::uint32_t below(std::uint32_t n) { return buddy::below(state_ = buddy::splitmix64(state_), n); }

  void fill(std::uint32_t t, std::uint32_t misses) {
    std::uint32_t const half = shape_.n_experts / 2U;
    std::uint16_t* const experts = experts_.data() + std::size_t{t} * shape_.top_k;
    for (std::uint32_t s = 0; s != shape_.top_k;) {
      auto const e = static_cast<std::uint16_t>(below(half) + (s < misses ? half : 0));
      if (std::find(experts, experts + s, e) == experts + s) experts[s++] = e;
    }
    for (std::uint32_t s = shape_.top_k; s > 1; --s) std::swap(experts[s - 1], experts[below(s)]);
    float* const scores = scores_.data() + std::size_t{t} * shape_.n_experts;
    for (std::uint32_t e = 0; e != shape_.n_experts; ++e) scores[e] = 1e-6F * static_cast<float>(1 + below(1000));
    float const share = 1.0F / static_cast<float>(shape_.top_k);  // nearly flat, so that an entropy gate lets it pass
    for (std::uint32_t s = 0; s != shape_.top_k; ++s) {
      weights_[std::size_t{t} * shape_.top_k + s] = share * (1.0F - 0.01F * static_cast<float>(s));
      scores[experts[s]] = 0.5F * weights_[std::size_t{t} * shape_.top_k + s];
    }
  }

  buddy::model_shape shape_;
  std::uint64_t state_ = 1;
  std::vector<std::uint16_t> experts_;
  std::vector<float> weights_;
  std::vector<float> scores_;
};

inline buddy::model_shape shape_of(benchmark::State const& state) {
  return {n_layers, static_cast<std::uint16_t>(state.range(0)), static_cast<std::uint16_t>(state.range(1)), 1024};
}

/// Lists of 16 that begin in the upper half and end in the lower: half of each is resident.
inline buddy::buddy_table lists(buddy::model_shape const& shape) {
  buddy::buddy_table table(shape, 16);
  for (std::uint16_t l = 0; l != n_layers; ++l)
    for (std::uint16_t e = 0; e != shape.n_experts; ++e)
      for (std::uint32_t i = 0; i != 16; ++i)
        table.append({l, e}, static_cast<std::uint16_t>((e + 1 + i * (shape.n_experts / 2U + 3)) % shape.n_experts),
                     4096U - 128U * i);
  return table;
}

/// Puts the lower half of each layer's experts in.
template <class Cache>
Cache warmed(Cache cache) {
  for (std::uint16_t l = 0; l != n_layers; ++l) {
    std::vector<buddy::expert_key> keys(cache.shape().n_experts / 2U);
    for (std::uint16_t e = 0; e != keys.size(); ++e) keys[e] = {l, e};
    cache.warm({keys.data(), static_cast<std::uint32_t>(keys.size())});
  }
  return cache;
}

/// A policy whose lower half of experts is resident in every layer, and stays so unless something is copied.
template <class Gate, class Selector>
auto half_resident(buddy::model_shape const& shape, Gate gate, Selector selector, buddy::policy_config config = {}) {
  using cache = buddy::slot_cache<buddy::eviction::lru>;
  return buddy::policy{shape,
                       warmed(cache(shape, buddy::cache_budget::from_ratio(shape, 0.5))),
                       buddy::prediction::none(shape),
                       gate,
                       selector,
                       config};
}

/// Resolves layer after layer, `n_tokens` at a time, copies arriving at once. @returns layers resolved
template <class Policy>
std::uint64_t run(benchmark::State& state, Policy& policy, routings const& r, std::uint32_t n_tokens = 1) {
  std::uint32_t i = 0;
  policy.begin_step();
  for (auto _ : state) {
    std::uint16_t const layer = i % n_layers;
    if (layer == 0) policy.begin_step();
    auto const& plan = policy.resolve(layer, r.batch(i++, n_tokens));
    for (auto const& c : plan.fetches) policy.commit(c);
    for (auto const& c : plan.refills) policy.commit(c);
    benchmark::DoNotOptimize(plan.assignments.data);
  }
  state.SetItemsProcessed(state.iterations());
  return i;
}

/// Refuses the result unless each of `tokens` had `misses` misses that ended as `how`.
inline void expect(benchmark::State& state, buddy::layer_counters const& n, std::uint64_t tokens, std::uint64_t misses,
                   buddy::resolution how) {
  auto const hits = tokens * (static_cast<std::uint64_t>(state.range(1)) - misses);
  bool const right = n.slots_ending(how) == tokens * misses + (how == buddy::resolution::own ? hits : 0) &&
                     n.slots_ending(buddy::resolution::own) == hits;
  if (!right) state.SkipWithError("the slots did not end as this case says");
}

}  // namespace decisions
