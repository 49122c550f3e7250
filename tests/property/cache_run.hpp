// SPDX-License-Identifier: Apache-2.0
// Batches of expert keys, and a cache that is asked for them in order.
#pragma once

#include <buddy/cache_budget.hpp>
#include <buddy/concepts/expert_cache.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/eviction/known_future.hpp>
#include <buddy/slot_cache.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

/// What one layer of one step asks for at once: distinct experts of that layer.
struct asked_batch {
  buddy::step_clock now;
  std::vector<buddy::expert_key> experts;
};

/// How a trace is made: like chance; a few experts of each layer most of the time; half of what the step before had.
enum class habit { uniform, skewed, sticky };

/// Steps 1, 2, ..., each of all layers, each of which asks for top_k experts.
inline std::vector<asked_batch> random_batches(buddy::model_shape const& shape, habit how, int steps,
                                               std::uint64_t seed) {
  buddy::testing::dice dice(seed);
  std::vector<asked_batch> batches;
  for (int i = 0; i != steps * shape.n_layers; ++i) {
    auto const layer = static_cast<std::uint16_t>(i % shape.n_layers);
    asked_batch batch{{static_cast<std::uint64_t>(i / shape.n_layers + 1), layer, shape.n_layers}, {}};
    while (batch.experts.size() != shape.top_k) {
      std::uint32_t e = dice.roll(shape.n_experts);
      if (how == habit::skewed) e = std::min({e, dice.roll(shape.n_experts), dice.roll(shape.n_experts)});
      buddy::expert_key k{layer, static_cast<std::uint16_t>(e)};
      if (how == habit::sticky && i >= shape.n_layers && dice.chance(2))
        k = batches[static_cast<std::size_t>(i - shape.n_layers)].experts[dice.roll(shape.top_k)];
      if (std::count(batch.experts.begin(), batch.experts.end(), k) == 0) batch.experts.push_back(k);
    }
    batches.push_back(batch);
  }
  return batches;
}

inline buddy::eviction::known_future future_of(buddy::model_shape const& shape,
                                               std::vector<asked_batch> const& batches) {
  std::vector<buddy::eviction::future_use> uses;
  for (auto const& batch : batches)
    for (auto const k : batch.experts) uses.push_back({batch.now.step, k});
  return {shape, {uses.data(), static_cast<std::uint32_t>(uses.size())}};
}

/// Hits of a cache that looks a batch up before it changes, and lets every miss enter that finds a slot.
template <class Cache>
std::uint64_t replay(Cache& cache, std::vector<asked_batch> const& batches) {
  std::uint64_t hits = 0;
  for (auto const& batch : batches) {
    cache.begin_batch(batch.now);
    for (auto const k : batch.experts) {
      if (cache.where(k) != buddy::residency::resident) continue;
      cache.touch(cache.slot_of(k));
      ++hits;
    }
    for (auto const k : batch.experts) {
      if (cache.where(k) != buddy::residency::absent) continue;
      buddy::slot_id const s = cache.reserve(k);
      if (s != buddy::no_slot) cache.commit(s);
    }
  }
  return hits;
}

/// `replay` of a cache that starts empty.
template <class Eviction, class... Arguments>
std::uint64_t hits_of(buddy::model_shape const& shape, buddy::cache_budget const& budget,
                      std::vector<asked_batch> const& batches, Arguments const&... arguments) {
  buddy::slot_cache<Eviction> cache(shape, budget, arguments...);
  return replay(cache, batches);
}
