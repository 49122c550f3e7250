// SPDX-License-Identifier: Apache-2.0
// cache_prior and rank_window choose for each miss; their sources take the top-k again. Both are the same set.
#include "catch.hpp"

#include <buddy/policies/selection/cache_prior.hpp>
#include <buddy/policies/selection/rank_window.hpp>
#include <buddy/policies/sensitivity/keep_top.hpp>
#include <buddy/resolver.hpp>
#include <buddy/testing/dice.hpp>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>
#include <vector>

namespace {

using ids = std::vector<std::uint16_t>;

/// One token of a router that sorts, and a cache.
struct situation {
  ids ranked;                           // [n_experts] by falling score, ties by rising id
  std::vector<float> scores;            // [n_experts]
  std::vector<buddy::q16> shares;       // [top_k]
  std::vector<buddy::slot_id> slot_of;  // [n_experts]
  std::uint32_t top_k{};
  std::uint32_t n_kept{};

  [[nodiscard]] buddy::token_view token() const {
    auto const n = static_cast<std::uint32_t>(scores.size());
    return {0, 0, {ranked.data(), top_k}, {shares.data(), top_k}, {scores.data(), n}};
  }
  [[nodiscard]] bool resident(std::uint16_t e) const { return slot_of[e] != buddy::no_slot; }
  [[nodiscard]] bool routed(std::uint16_t e) const {
    return std::find(ranked.begin(), ranked.begin() + top_k, e) != ranked.begin() + top_k;
  }
  /// The true top-J, as the gate has it.
  [[nodiscard]] std::set<std::uint16_t> kept() const {
    std::set<std::uint16_t> all;
    for (std::uint32_t s = 0; s != top_k; ++s)
      if (buddy::share_rank(token(), s) < n_kept) all.insert(ranked[s]);
    return all;
  }
};

/// Scores of few levels, of many, or so far apart that light shares round to the same; now and then 0.
float random_score(buddy::testing::dice& random, std::uint32_t kind) {
  if (random.chance(12)) return 0.0F;
  if (kind == 0) return static_cast<float>(1 + random.roll(6)) / 64.0F;
  if (kind == 1) return static_cast<float>(1 + random.roll(1U << 20)) / static_cast<float>(1U << 22);
  return static_cast<float>(1 + random.roll(16)) / static_cast<float>(std::uint64_t{1} << random.roll(36));
}

situation random_situation(buddy::testing::dice& random) {
  situation s;
  std::uint32_t const n = 2 + random.roll(40);
  std::uint32_t const kind = random.roll(3);
  std::uint32_t const quarters = random.roll(5);
  for (std::uint32_t e = 0; e != n; ++e) {
    s.scores.push_back(random_score(random, kind));
    s.slot_of.push_back(random.roll(4) < quarters ? buddy::slot_id{e} : buddy::no_slot);
  }
  s.ranked.resize(n);
  std::iota(s.ranked.begin(), s.ranked.end(), std::uint16_t{0});
  std::stable_sort(s.ranked.begin(), s.ranked.end(), [&](auto a, auto b) { return s.scores[a] > s.scores[b]; });
  s.top_k = 1 + random.roll(std::min<std::uint32_t>(n, 10));
  s.n_kept = random.roll(3);
  std::vector<float> weights;
  for (std::uint32_t i = 0; i != s.top_k; ++i) weights.push_back(s.scores[s.ranked[i]]);
  s.shares.resize(s.top_k);
  buddy::normalise({weights.data(), s.top_k}, {s.shares.data(), s.top_k});
  return s;
}

/// The experts that are used when each miss is served in turn; a miss that is not keeps its expert.
template <class Selector>
std::set<std::uint16_t> by_slot(situation const& s, Selector const& selector) {
  std::vector<buddy::slot_outcome> out(s.top_k);
  buddy::row_rules const rules{.order = buddy::budget_order::lightest_first};
  buddy::resolve_row(s.token(), {s.slot_of.data(), static_cast<std::uint32_t>(s.slot_of.size())}, rules,
                     buddy::sensitivity::keep_top{s.n_kept}, selector, {out.data(), s.top_k});
  std::set<std::uint16_t> used;
  for (auto const& o : out) used.insert(o.expert);
  return used;
}

/// z' = z + bonus for residents; the true top-J, then the largest z'. Ties go to a routed expert, then to the higher
/// score, then to the lower id.
std::set<std::uint16_t> by_biased_top_k(situation const& s, buddy::selection::cache_prior const& prior) {
  auto used = s.kept();
  auto const bonus = prior.bonus(s.token().scores);
  auto const biased = [&](std::uint16_t e) { return buddy::score_log2_q16(s.scores[e]) + (s.resident(e) ? bonus : 0); };
  ids order = s.ranked;  // by falling score, then rising id
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    return biased(a) != biased(b) ? biased(a) > biased(b) : s.routed(a) && !s.routed(b);
  });
  for (auto const e : order)
    if (used.size() < s.top_k) used.insert(e);
  return used;
}

/// The true top-J, then residents ranked in the window, in rank order, then the true ranking.
std::set<std::uint16_t> by_window(situation const& s, buddy::selection::rank_window const& window) {
  auto used = s.kept();
  std::uint64_t total = 0;
  for (float const x : s.scores) total += buddy::score_q24(x);
  std::uint64_t before = 0;
  for (std::uint32_t rank = 0; rank != s.ranked.size(); ++rank) {
    auto const e = s.ranked[rank];
    bool const inside =
        rank < window.width && (window.mass_q16 == buddy::q16_one || before << 16 < total * window.mass_q16);
    if (inside && s.resident(e) && used.size() < s.top_k) used.insert(e);
    before += buddy::score_q24(s.scores[e]);
  }
  for (auto const e : s.ranked)
    if (used.size() < s.top_k) used.insert(e);
  return used;
}

}  // namespace

TEST_CASE("cache_prior is the top-k of biased scores", "[property][cache_prior]") {
  buddy::testing::dice random(GENERATE(1U, 2U, 3U));
  std::uint32_t different = 0;
  std::uint32_t replaced = 0;
  std::uint32_t partly = 0;
  for (int i = 0; i != 20000; ++i) {
    auto const s = random_situation(random);
    buddy::selection::cache_prior const prior{random.roll(buddy::q16_one + 1)};
    auto const used = by_slot(s, prior);
    different += used == by_biased_top_k(s, prior) ? 0 : 1;
    auto const n = std::count_if(used.begin(), used.end(), [&](auto e) { return !s.routed(e); });
    auto const missing = std::count_if(used.begin(), used.end(), [&](auto e) { return !s.resident(e); });
    replaced += n != 0 ? 1 : 0;
    partly += n != 0 && missing != 0 ? 1 : 0;
  }
  CHECK(different == 0);
  CHECK(replaced > 2000);
  CHECK(partly > 500);
}

TEST_CASE("rank_window is the top-k of a ranking that residents lead", "[property][rank_window]") {
  buddy::testing::dice random(GENERATE(1U, 2U, 3U));
  std::uint32_t different = 0;
  std::uint32_t replaced = 0;
  for (int i = 0; i != 20000; ++i) {
    auto const s = random_situation(random);
    auto window = buddy::selection::rank_window::fixed(random.roll(24));
    if (random.chance(2)) window.mass_q16 = random.roll(buddy::q16_one + 1);
    auto const used = by_slot(s, window);
    different += used == by_window(s, window) ? 0 : 1;
    replaced += std::any_of(used.begin(), used.end(), [&](auto e) { return !s.routed(e); }) ? 1 : 0;
  }
  CHECK(different == 0);
  CHECK(replaced > 2000);
}
