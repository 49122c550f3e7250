// SPDX-License-Identifier: Apache-2.0
/// @file
/// Tags only: the bounds need no plan.
#include "harness/replay/bounds.hpp"

#include <buddy/policies/eviction/belady.hpp>
#include <buddy/policies/eviction/random.hpp>

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace harness {

namespace {

void add(phase_counts& all, buddy::phase p, buddy::view<buddy::replay_count const> layers) {
  for (std::uint32_t l = 0; l != layers.size; ++l) {
    all.by_phase[static_cast<std::size_t>(p)] += layers[l];
    if (p == buddy::phase::decode) all.layers[l] += layers[l];
  }
}

/// Replays stretches of one phase, one after the other.
template <class Eviction, class... Arguments>
void replay_part(phase_counts& all, buddy::routing_trace const& part, buddy::model_shape const& shape,
                 buddy::cache_budget const& budget, Arguments const&... arguments) {
  buddy::replayer<Eviction> cache{shape, budget, arguments...};
  for (std::size_t t = 0; t != part.n_tokens();) {
    std::size_t const begin = t;
    buddy::phase const p = part.phase_of(t);
    while (t != part.n_tokens() && part.phase_of(t) == p) ++t;
    cache.run(part, {begin, t - begin});
    add(all, p, cache.counts());
    cache.clear_counts();
  }
}

/// [n_layers, n_experts] tokens that ask for each expert, in one phase or both.
template <class Wanted>
std::vector<std::uint64_t> count_uses(std::span<buddy::routing_trace const> parts, buddy::model_shape const& shape,
                                      Wanted const& wanted) {
  std::vector<std::uint64_t> uses(shape.n_keys());
  for (buddy::routing_trace const& part : parts)
    for (std::size_t t = 0; t != part.n_tokens(); ++t)
      for (std::uint16_t l = 0; wanted(part.phase_of(t)) && l != shape.n_layers; ++l)
        if (part.has_record(t, l))
          for (std::uint16_t const e : part.at(t, l).experts) ++uses[shape.index({l, e})];
  return uses;
}

/// The most asked for keys of each pool, as far as its bytes go; the greedy choice, which is the best one when records
/// have one size.
std::vector<bool> choose_static(std::vector<std::uint64_t> const& uses, buddy::model_shape const& shape,
                                buddy::cache_budget const& budget) {
  auto const bytes = buddy::detail::record_sizes(shape, budget);
  auto const plans = buddy::detail::plan_pools(bytes, budget, shape.n_experts);
  std::vector<std::uint64_t> left;
  for (auto const& plan : plans) left.push_back(plan.byte_budget);
  std::vector<std::size_t> order(uses.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return uses[a] > uses[b]; });
  std::vector<bool> pinned(uses.size());
  for (std::size_t const key : order) {
    std::size_t const layer = key / shape.n_experts;
    auto& room = left[left.size() == 1 ? 0 : layer];
    if (room < bytes[layer]) continue;
    room -= bytes[layer];
    pinned[key] = true;
  }
  return pinned;
}

phase_counts static_counts(std::span<buddy::routing_trace const> parts, buddy::model_shape const& shape,
                           buddy::cache_budget const& budget) {
  phase_counts all;
  all.layers.resize(shape.n_layers);
  auto const pinned = choose_static(count_uses(parts, shape, [](buddy::phase) { return true; }), shape, budget);
  for (auto const p : {buddy::phase::prefill, buddy::phase::decode}) {
    auto const uses = count_uses(parts, shape, [p](buddy::phase q) { return p == q; });
    std::vector<buddy::replay_count> layers(shape.n_layers);
    for (std::size_t key = 0; key != uses.size(); ++key) {
      layers[key / shape.n_experts].lookups += uses[key];
      layers[key / shape.n_experts].hits += pinned[key] ? uses[key] : 0;
    }
    add(all, p, {layers.data(), shape.n_layers});
  }
  return all;
}

}  // namespace

replay_bounds bounds_of(std::span<buddy::routing_trace const> parts, buddy::model_shape const& shape,
                        buddy::cache_budget const& budget, std::uint64_t seed) {
  replay_bounds bounds;
  bounds.belady.layers.resize(shape.n_layers);
  bounds.random.layers.resize(shape.n_layers);
  for (buddy::routing_trace const& part : parts) {
    auto const future = buddy::eviction::known_future::of(part);
    replay_part<buddy::eviction::belady>(bounds.belady, part, shape, budget, future);
    replay_part<buddy::eviction::random>(bounds.random, part, shape, budget, seed);
  }
  bounds.static_top = static_counts(parts, shape, budget);
  return bounds;
}

std::uint64_t slots_of(buddy::model_shape const& shape, buddy::cache_budget const& budget) {
  std::uint64_t slots = 0;
  for (auto const& plan :
       buddy::detail::plan_pools(buddy::detail::record_sizes(shape, budget), budget, shape.n_experts))
    slots += plan.capacity;
  return slots;
}

}  // namespace harness
