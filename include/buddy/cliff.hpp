// SPDX-License-Identifier: Apache-2.0
/// @file
/// Below one token cycle a pool that all layers share may never hit: how to know before it runs.
#pragma once

#include <buddy/cache_budget.hpp>
#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/concepts/named.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/replay.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/splitmix64.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace buddy::inline v0 {

/// Experts that one token asks for on its way through all layers: so many others are used between two uses of one.
[[nodiscard]] constexpr std::uint64_t token_cycle(model_shape const& shape) noexcept {
  return std::uint64_t{shape.n_layers} * shape.top_k;
}

/// What a policy makes of a pool.
struct cliff_check {
  std::uint64_t slots{};        ///< of the smallest pool
  std::uint64_t cycle{};        ///< experts that one token asks this pool for
  std::uint64_t hits{};         ///< in the trial below; only if slots < cycle
  std::uint64_t pinned_hits{};  ///< of a pool that would keep what the trial asks for most often

  [[nodiscard]] constexpr bool below_cycle() const noexcept { return slots < cycle; }
  /// It gets less than a tenth of what there is to get.
  [[nodiscard]] constexpr bool collapses() const noexcept { return below_cycle() && 10 * hits < pinned_hits; }
};

namespace detail {

/// Some experts of each layer come back, each at a rate of its own, the others are drawn: a policy that sees who comes
/// back can hit; one that looks at the order of use alone cannot, as long as the pool is below a cycle.
inline routing_trace cliff_trial(model_shape const& shape, std::uint32_t n_tokens) {
  routing_trace trace;
  trace.n_layers = shape.n_layers, trace.n_experts = shape.n_experts, trace.top_k = shape.top_k;
  trace.sequence_lengths = {n_tokens};
  std::uint64_t draw = 0;
  auto const drawn = [&](std::uint32_t n) { return below(splitmix64(++draw), n); };
  for (std::size_t i = 0; i != std::size_t{n_tokens} * shape.n_layers; ++i) {
    auto const layer = static_cast<std::uint32_t>(i % shape.n_layers);
    std::size_t const begin = trace.experts.size();
    auto const add = [&](std::uint32_t e) {
      auto const token = trace.experts.begin() + static_cast<std::ptrdiff_t>(begin);
      if (std::find(token, trace.experts.end(), e) == trace.experts.end())
        trace.experts.push_back(static_cast<std::uint16_t>(e));
    };
    // Expert e of a layer is asked for in 1/4 to all of the tokens, by its hash.
    for (std::uint32_t e = 0; 2 * e < shape.top_k; ++e)
      if (drawn(4) <= splitmix64(layer * max_top_k + e) % 4) add(e);
    while (trace.experts.size() - begin != shape.top_k) add(drawn(shape.n_experts));
  }
  return trace;
}

/// Look-ups of these tokens for the `slots` experts that they ask for most often.
inline std::uint64_t most_asked(routing_trace const& trace, std::size_t first_token, std::size_t slots) {
  std::vector<std::uint64_t> counts(trace.shape(1).n_keys());
  for (std::size_t t = first_token; t != trace.n_tokens(); ++t)
    for (std::uint16_t l = 0; l != trace.n_layers; ++l)
      for (std::uint16_t const e : trace.at(t, l).experts) ++counts[trace.shape(1).index({l, e})];
  std::sort(counts.rbegin(), counts.rend());
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i != std::min(slots, counts.size()); ++i) sum += counts[i];
  return sum;
}

}  // namespace detail

/// Tries the policy on a small trace, so that nothing has to be known of it.
///
/// Only a pool smaller than the cycle is tried: for a global pool that is `token_cycle`, for one of a single layer
/// top_k. 24 tokens warm the cache, 24 are counted. At set-up: takes some ms and allocates.
/// @param eviction_arguments  handed to `Eviction` after its capacity
/// @throws config_error as `replayer` does
template <eviction_policy Eviction, class... Arguments>
  requires std::constructible_from<Eviction, std::size_t, Arguments const&...>
[[nodiscard]] cliff_check check_cliff(model_shape const& shape, cache_budget const& budget,
                                      Arguments const&... eviction_arguments) {
  constexpr std::uint32_t n_tokens = 24;
  validate(shape);
  bool const global = budget.layout == pool_layout::global;
  cliff_check found;
  found.cycle = global ? token_cycle(shape) : shape.top_k;
  auto const plans = detail::plan_pools(detail::record_sizes(shape, budget), budget, shape.n_experts);
  found.slots = std::min_element(plans.begin(), plans.end(), [](auto const& a, auto const& b) {
                  return a.capacity < b.capacity;
                })->capacity;
  if (!found.below_cycle()) return found;
  replayer<Eviction> cache(shape, budget, eviction_arguments...);
  auto const trial = detail::cliff_trial(shape, 2 * n_tokens);
  cache.run(trial, {0, n_tokens});
  cache.clear_counts();
  cache.run(trial, {n_tokens});
  found.hits = cache.total().hits;
  found.pinned_hits = detail::most_asked(trial, n_tokens, cache.capacity());
  return found;
}

/// What to tell the user; empty when the pool does not collapse.
[[nodiscard]] inline std::string cliff_warning(cliff_check const& found, std::string_view policy) {
  if (!found.collapses()) return {};
  return "a pool of " + std::to_string(found.slots) + " slots is below one token cycle (" +
         std::to_string(found.cycle) + " experts), where '" + std::string{policy} +
         "' all but never hits: in a trial it had " + std::to_string(found.hits) +
         " hits where keeping the right experts has " + std::to_string(found.pinned_hits) +
         "; use per-layer pools, more slots, or a policy that does not collapse (lru_token, counts that outlive "
         "residency)";
}

}  // namespace buddy::inline v0
