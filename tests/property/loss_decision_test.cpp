// SPDX-License-Identifier: Apache-2.0
// The decision against all subsets of a token's misses.
#include "catch.hpp"
#include "property/policy_run.hpp"

#include <buddy/loss_decision.hpp>
#include <buddy/resolver.hpp>
#include <buddy/testing/dice.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

using buddy::loss_limits;
using buddy::refusal;
using buddy::resolution;

namespace {

/// Time and loss together of the best subset, by looking at each.
std::uint64_t best_of_all(std::vector<std::uint32_t> const& losses, loss_limits const& limits, std::uint32_t n_others,
                          std::uint32_t most) {
  auto const m = static_cast<std::uint32_t>(losses.size());
  std::uint64_t best = limits.worth_ub(n_others + m);
  for (std::uint32_t subset = 0; subset != 1U << m; ++subset) {
    std::uint64_t lost = 0;
    std::uint32_t n = 0;
    for (std::uint32_t i = 0; i != m; ++i) {
      if ((subset >> i & 1) == 0) continue;
      lost += losses[i];
      ++n;
    }
    if (n <= most && lost <= limits.allowance_ub) best = std::min(best, lost + limits.worth_ub(n_others + m - n));
  }
  return best;
}

/// Never falling, from 0: as two lanes give.
std::vector<buddy::q16> random_times(buddy::testing::dice& random) {
  std::vector<buddy::q16> times{0};
  for (std::uint32_t n = 1; n <= 12; ++n) times.push_back(times.back() + random.roll(3) * 30000);
  return times;
}

}  // namespace

TEST_CASE("the cheapest count is the best of all subsets", "[property][loss_decision]") {
  buddy::testing::dice random(11);
  std::uint32_t some = 0;
  for (int round = 0; round != 4000; ++round) {
    std::vector<std::uint32_t> losses(random.roll(9));
    for (auto& x : losses) x = random.roll(200);
    std::sort(losses.begin(), losses.end());
    auto const times = random_times(random);
    loss_limits limits;
    if (random.chance(2)) limits.allowance_ub = random.roll(500);
    limits.fetch_worth_ub = random.roll(200);
    if (random.chance(2)) limits.times_q16 = {times.data(), static_cast<std::uint32_t>(times.size())};
    std::uint32_t const n_others = random.roll(4);
    std::uint32_t const most = random.chance(3) ? random.roll(4) : buddy::max_top_k;
    auto const m = static_cast<std::uint32_t>(losses.size());
    std::uint32_t const n = buddy::cheapest_count({losses.data(), m}, limits, n_others, most);
    std::uint64_t lost = 0;
    for (std::uint32_t i = 0; i != n; ++i) lost += losses[i];
    REQUIRE(n <= most);
    REQUIRE(lost <= limits.allowance_ub);
    REQUIRE(lost + limits.worth_ub(n_others + m - n) == best_of_all(losses, limits, n_others, most));
    some += n != 0 && n != m ? 1 : 0;
  }
  CHECK(some > 400);  // neither all nor nothing
}

TEST_CASE("a row by least loss keeps its limits, and never refuses what is cheaper than what it gives",
          "[property][loss_decision]") {
  constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 12, .top_k = 5, .expert_bytes = 1};
  buddy::testing::dice random(12);
  random_routing routing(shape, 1, 12);
  buddy::selection::expected_error const selector{losses(shape), {}};
  std::uint32_t refused = 0, given = 0;
  for (int round = 0; round != 4000; ++round) {
    auto const r = routing.next();
    std::array<buddy::q16, 5> shares{};
    buddy::normalise(r.weights, {shares.data(), 5});
    std::array<buddy::slot_id, 12> slots{};
    for (std::uint32_t e = 0; e != 12; ++e) slots[e] = random.chance(2) ? buddy::slot_id{e} : buddy::no_slot;
    buddy::token_view const t{1, 1, r.experts, {shares.data(), 5}, r.scores};
    buddy::row_rules rules{.order = buddy::budget_order::least_loss};
    rules.loss.allowance_ub = random.roll(200);
    rules.loss.fetch_worth_ub = random.roll(120);
    if (random.chance(4)) rules.loss.arriving = random.roll(32);
    std::array<buddy::slot_outcome, 5> out{};
    std::uint32_t const n =
        buddy::resolve_row(t, {slots.data(), 12}, rules, buddy::sensitivity::always{}, selector, {out.data(), 5});
    buddy::expert_set routed(12);
    for (auto const e : t.experts) routed.insert(e);
    std::uint64_t lost = 0;
    std::uint32_t dearest = 0, count = 0;
    for (std::uint32_t s = 0; s != 5; ++s) {
      bool const stands_in = out[s].how != resolution::own && out[s].why == refusal::none;
      lost += out[s].loss_ub;
      count += stands_in ? 1 : 0;
      REQUIRE((stands_in || out[s].loss_ub == 0));
      REQUIRE(!(stands_in && (rules.loss.arriving >> s & 1) != 0));
      // As planned: not what a slot got after a cheaper one had taken its buddy.
      if (stands_in && out[s].loss_ub == selector.select(t, {slots.data(), 12}, routed, s).loss_ub)
        dearest = std::max(dearest, out[s].loss_ub);
    }
    REQUIRE(n == count);
    REQUIRE(lost <= rules.loss.allowance_ub);
    buddy::expert_set taken(12);
    for (auto const& o : out) taken.insert(o.expert);
    for (std::uint32_t s = 0; s != 5; ++s) {
      if (out[s].why != refusal::loss_budget || (rules.loss.arriving >> s & 1) != 0) continue;
      ++refused;
      REQUIRE(selector.select(t, {slots.data(), 12}, taken, s).loss_ub >= dearest);
    }
    given += n;
  }
  CHECK(refused > 500);
  CHECK(given > 500);
}

TEST_CASE("a budget spends its target and no more, whatever the losses are like", "[property][loss_budget]") {
  // Misses whose losses are drawn from 1 to 2^scale; a row takes the cheapest that its limits bear. 3 layers, 6000 ub a
  // token: 2000 a row. 20,000 rows after 20,000 to settle.
  auto const scale = GENERATE(14U, 16U, 18U);
  buddy::testing::dice random(scale);
  buddy::loss_budget budget({.target_ub = 6000, .window_tokens = 256, .cap_tokens = 16}, 3);
  std::uint64_t spent = 0;
  for (int row = 0; row != 40000; ++row) {
    std::vector<std::uint32_t> losses(random.roll(5));
    for (auto& x : losses) x = 1U << random.roll(scale + 1);
    std::sort(losses.begin(), losses.end());
    auto const limits = budget.left();
    std::uint32_t const n = buddy::cheapest_count({losses.data(), std::uint32_t(losses.size())}, limits, 0, 32);
    std::uint32_t lost = 0;
    for (std::uint32_t i = 0; i != n; ++i) lost += losses[i];
    budget.push(lost);
    if (row >= 20000) spent += lost;
  }
  double const mean = static_cast<double>(spent) / 20000.0;
  CHECK(mean <= 2000.0 * 1.001);
  CHECK(mean > 2000.0 * 0.85);
}
