// SPDX-License-Identifier: Apache-2.0
// Splits against all splits there are, and against the caches that they are made for.
#include "catch.hpp"
#include "random_traces.hpp"

#include <buddy/buddy.hpp>
#include <buddy/testing/dice.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace {

using split = std::vector<std::uint32_t>;

std::vector<buddy::hit_curve> random_curves(buddy::testing::dice& dice, bool concave) {
  std::vector<buddy::hit_curve> curves;
  for (int l = 0; l != 3; ++l) {
    std::vector<std::uint64_t> gains(5);
    for (auto& gain : gains) gain = dice.roll(20);
    if (concave) std::sort(gains.rbegin(), gains.rend());
    buddy::hit_curve curve{100, 0, {0}};
    for (auto const gain : gains) curve.hits.push_back(curve.hits.back() + gain);
    curves.push_back(curve);
  }
  return curves;
}

std::uint64_t most_hits(std::vector<buddy::hit_curve> const& curves, std::uint32_t total, std::uint32_t least) {
  std::uint64_t most = 0;
  for (std::uint32_t a = least; a <= 5; ++a)
    for (std::uint32_t b = least; b <= 5; ++b)
      for (std::uint32_t c = least; c <= 5; ++c)
        if (a + b + c == total) most = std::max(most, buddy::expected_hits(curves, {a, b, c}));
  return most;
}

std::uint64_t longest_gain(std::vector<buddy::hit_curve> const& curves, std::uint32_t least) {
  std::uint64_t longest = 0;
  for (std::size_t l = 0; l != curves.size(); ++l)
    for (auto const& step : buddy::detail::concave_hull(curves[l], l, least))
      if (step.slots > 1) longest = std::max(longest, step.gain);
  return longest;
}

std::uint32_t sum(split const& s) { return std::accumulate(s.begin(), s.end(), 0U); }

}  // namespace

TEST_CASE("the exact split is the best of all, and marginal gain is as good where curves are concave",
          "[property][layer_split]") {
  buddy::testing::dice dice(41);
  for (int i = 0; i != 300; ++i) {
    bool const concave = i % 2 == 0;
    auto const curves = random_curves(dice, concave);
    std::uint32_t const least = 1 + dice.roll(2);
    std::uint32_t const total = 3 * least + dice.roll(16 - 3 * least);
    std::uint64_t const most = most_hits(curves, total, least);
    auto const exact = buddy::split_exactly(curves, total, least);
    auto const greedy = buddy::split_by_marginal_gain(curves, total, least);
    CHECK(sum(exact) == total);
    CHECK(sum(greedy) == total);
    CHECK(*std::min_element(greedy.begin(), greedy.end()) >= least);
    CHECK(buddy::expected_hits(curves, exact) == most);
    // At most the gain of the one step that was taken in part; with no step longer than a slot, nothing.
    CHECK(buddy::expected_hits(curves, greedy) + longest_gain(curves, least) >= most);
    if (concave) CHECK(buddy::expected_hits(curves, greedy) == most);
  }
}

TEST_CASE("a cache that is split hits what the curves foretold, in the same bytes", "[property][layer_split]") {
  auto const seed = GENERATE(std::uint64_t{51}, std::uint64_t{52});
  buddy::model_shape const shape{.n_layers = 3, .n_experts = 16, .top_k = 2, .expert_bytes = 7};
  // Layer 0 like chance, layer 1 a few experts, layer 2 what it had before: they want different sizes.
  auto trace = random_trace(shape, habit::uniform, 400, seed);
  auto const skewed = random_trace(shape, habit::skewed, 400, seed);
  auto const sticky = random_trace(shape, habit::sticky, 400, seed);
  for (std::size_t i = 0; i != trace.experts.size(); ++i) {
    std::size_t const layer = i / shape.top_k % shape.n_layers;
    if (layer != 0) trace.experts[i] = (layer == 1 ? skewed : sticky).experts[i];
  }
  auto const curves = buddy::lru_hit_curves(trace);
  std::uint64_t const slots = 18;
  auto const uniform = buddy::cache_budget{.bytes = slots * 7};
  auto gained = uniform;
  gained.layer_slots = buddy::split_by_marginal_gain(curves, slots, shape.top_k);
  REQUIRE(gained.layer_slots != split{6, 6, 6});
  buddy::replayer<buddy::eviction::lru> before(shape, uniform);
  buddy::replayer<buddy::eviction::lru> after(shape, gained);
  before.run(trace);
  after.run(trace);
  CHECK(after.capacity() == before.capacity());
  CHECK(after.total().hits == buddy::expected_hits(curves, gained.layer_slots));
  CHECK(before.total().hits == buddy::expected_hits(curves, {6, 6, 6}));
  CHECK(after.total().hits > before.total().hits);
}

TEST_CASE("slot_cache gives each layer its own number of slots", "[property][layer_split]") {
  buddy::model_shape const shape{.n_layers = 3, .n_experts = 8, .top_k = 1, .expert_bytes = 1};
  buddy::slot_cache<buddy::eviction::lru> cache(shape, {.bytes = 10, .layer_slots = {5, 1, 4}});
  CHECK(cache.capacity() == 10);
  std::uint32_t const expected[]{5, 1, 4};
  for (std::uint16_t l = 0; l != 3; ++l) {
    for (std::uint16_t e = 0; e != 8; ++e) {
      cache.begin_batch({e + 1U, l, 3});
      cache.commit(cache.reserve({l, e}));
    }
    auto const residents = cache.residents(l);
    CHECK(8 - std::count(residents.begin(), residents.end(), buddy::no_slot) == expected[l]);
  }
  CHECK(cache.audit());
}
