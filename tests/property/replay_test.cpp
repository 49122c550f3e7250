// SPDX-License-Identifier: Apache-2.0
// A replay of tags counts what the whole policy counts.
#include "catch.hpp"
#include "eviction_models.hpp"

#include <buddy/buddy.hpp>
#include <buddy/testing/dice.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

constexpr buddy::model_shape model{.n_layers = 4, .n_experts = 24, .top_k = 4, .expert_bytes = 10};

/// Some experts are popular, half of a token's are those of the token before, and now and then a layer has no record.
buddy::routing_trace random_trace(std::size_t n_tokens, std::uint64_t seed) {
  buddy::testing::dice dice(seed);
  buddy::routing_trace trace;
  trace.n_layers = model.n_layers, trace.n_experts = model.n_experts, trace.top_k = model.top_k;
  std::size_t const row = std::size_t{model.n_layers} * model.top_k;
  trace.experts.assign(n_tokens * row, buddy::no_expert);
  trace.sequence_lengths = {static_cast<std::uint32_t>(n_tokens)};
  for (std::size_t first = 0; first != trace.experts.size(); first += model.top_k) {
    if (dice.chance(16)) continue;
    auto* const ids = trace.experts.data() + first;
    for (std::size_t s = 0; s != model.top_k;) {
      auto e = static_cast<std::uint16_t>(std::min(dice.roll(model.n_experts), dice.roll(model.n_experts)));
      if (first >= row && dice.chance(2) && ids[s - row] != buddy::no_expert) e = ids[s - row];
      if (std::find(ids, ids + s, e) == ids + s) ids[s++] = e;
    }
  }
  return trace;
}

/// What a policy counts that fetches every miss.
template <class Eviction, class... Arguments>
std::vector<buddy::replay_count> counted_by_policy(buddy::routing_trace const& trace, buddy::cache_budget const& budget,
                                                   buddy::token_range range, Arguments const&... arguments) {
  buddy::policy policy{model, buddy::slot_cache<Eviction>(model, budget, arguments...), buddy::prediction::none(model),
                       buddy::sensitivity::never{}, buddy::selection::none{}};
  std::vector<buddy::replay_count> counts(model.n_layers);
  std::vector<bool> asked_before(model.n_keys());
  std::vector<float> const weights(model.top_k, 0.25F);
  for (std::size_t t = range.first; t != range.first + range.count; ++t) {
    policy.begin_step();
    for (std::uint16_t l = 0; l != model.n_layers; ++l) {
      if (!trace.has_record(t, l)) continue;
      auto const& plan = policy.resolve(l, {trace.at(t, l).experts, {weights.data(), model.top_k}});
      for (auto const& copy : plan.fetches) policy.commit(copy);
      for (auto const e : trace.at(t, l).experts) {
        counts[l].compulsory += asked_before[model.index({l, e})] ? 0U : 1U;
        asked_before[model.index({l, e})] = true;
      }
    }
  }
  for (std::uint16_t l = 0; l != model.n_layers; ++l) {
    counts[l].lookups = policy.counters(l).lookups;
    counts[l].hits = policy.counters(l).hits;
    counts[l].staged = policy.counters(l).staged;
  }
  return counts;
}

/// The budgets that differ in kind: fewer slots than a batch asks for, a few, half of all; records of unequal sizes.
std::vector<buddy::cache_budget> budgets() {
  std::vector<buddy::cache_budget> all;
  for (auto const layout : {buddy::pool_layout::global, buddy::pool_layout::per_layer}) {
    for (std::uint64_t const bytes : {40, 90, 240, 480}) all.push_back({bytes, layout, {}});
    all.push_back({333, layout, {10, 17, 5, 12}});
    all.push_back({46, layout, {10, 17, 5, 12}});
  }
  all.push_back({10, buddy::pool_layout::global, {}});
  return all;
}

/// The first budget for which replay and policy differ, or nothing.
template <class Eviction, class... Arguments>
std::string first_difference(std::uint64_t seed, Arguments const&... arguments) {
  auto const trace = random_trace(150, seed);
  for (auto const& budget : budgets()) {
    buddy::token_range const range{seed % 2 == 0 ? 0U : 7U, 120};
    if (buddy::replay_hits<Eviction>(trace, model, budget, range, arguments...) !=
        counted_by_policy<Eviction>(trace, budget, range, arguments...))
      return std::to_string(budget.bytes) + " bytes, layout " + std::to_string(static_cast<int>(budget.layout));
  }
  return {};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a replay counts what the policy counts", "[property][replay]", plain_evictions) {
  auto const seed = GENERATE(range(std::uint64_t{1}, std::uint64_t{9}));
  CHECK(first_difference<TestType>(seed) == "");
}

TEST_CASE("a replay counts what the policy counts with evictions that are told about the model", "[property][replay]") {
  auto const seed = GENERATE(std::uint64_t{2}, std::uint64_t{4}, std::uint64_t{6});  // even: from the first token on
  std::vector<std::uint64_t> activations(model.n_keys());
  for (std::size_t i = 0; i != activations.size(); ++i) activations[i] = i * 7 % 5;
  buddy::view<std::uint64_t const> const seen{activations.data(), static_cast<std::uint32_t>(activations.size())};
  CHECK(first_difference<buddy::eviction::lfu>(seed, model) == "");
  CHECK(first_difference<buddy::eviction::lfu_decayed>(seed, model) == "");
  CHECK(first_difference<buddy::eviction::static_top>(seed, model, seen) == "");
  auto const future = buddy::eviction::known_future::of(random_trace(150, seed));
  CHECK(first_difference<buddy::eviction::belady>(seed, future) == "");
}

TEST_CASE("a replay in two parts counts what one in one part counts", "[property][replay]") {
  auto const trace = random_trace(100, 5);
  for (auto const& budget : budgets()) {
    buddy::replayer<buddy::eviction::lru_token> parts(model, budget);
    parts.run(trace, {0, 37});
    parts.run(trace, {37, 63});
    std::vector<buddy::replay_count> const counts(parts.counts().begin(), parts.counts().end());
    CHECK(counts == buddy::replay_hits<buddy::eviction::lru_token>(trace, model, budget));
  }
}
