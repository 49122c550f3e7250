// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/buddy.hpp>
#include <buddy/miss_lanes.hpp>
#include <buddy/testing/dice.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

using buddy::lane_rule;
using buddy::resolution;

namespace {

constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = 8, .top_k = 3, .expert_bytes = 1};

auto make(buddy::policy_config const& config, std::uint64_t slots = 4) {
  return buddy::policy{shape,
                       buddy::slot_cache<buddy::eviction::lru>(shape, {.bytes = slots}),
                       buddy::prediction::none(shape),
                       buddy::sensitivity::never{},
                       buddy::selection::none{},
                       config};
}

template <class Policy>
buddy::layer_plan const& ask(Policy& policy, std::vector<std::uint16_t> const& experts,
                             buddy::phase p = buddy::phase::decode) {
  static std::vector<float> const weights(64, 1.0F / 3.0F);
  policy.begin_step(p);
  auto const n = static_cast<std::uint32_t>(experts.size());
  auto const& plan = policy.resolve(0, {{experts.data(), n}, {weights.data(), n}, {}, n / 3});
  for (auto const& c : plan.fetches) policy.commit(c);
  for (auto const& c : plan.refills) policy.commit(c);
  return plan;
}

std::vector<resolution> endings(buddy::layer_plan const& plan) {
  std::vector<resolution> how;
  for (auto const& a : plan.assignments) how.push_back(a.how);
  return how;
}

template <class Policy>
std::vector<std::uint16_t> residents(Policy const& policy) {
  std::vector<std::uint16_t> ids;
  for (std::uint16_t e = 0; e != shape.n_experts; ++e)
    if (policy.cache().where({0, e}) == buddy::residency::resident) ids.push_back(e);
  return ids;
}

}  // namespace

TEST_CASE("q* ends link and CPU together", "[golden][miss_lanes]") {
  // A copy takes 300, an expert on the CPU 100: phi = 100 / 400 = 1/4.
  buddy::miss_lanes const lanes{lane_rule::q_star, 300, 100};
  CHECK(buddy::q_star_fetches(lanes, 4) == 1);  // 1 x 300 beside 3 x 100
  CHECK(buddy::q_star_fetches(lanes, 1) == 0);  // 100 on the CPU, not 300
  CHECK(buddy::q_star_fetches(lanes, 3) == 0);  // 0 and 300, or 300 and 200: as long, so the smaller f
  CHECK(buddy::q_star_fetches(lanes, 6) == 1);  // 300 and 500; with 2 it would be 600
  CHECK(buddy::q_star_fetches(lanes, 0) == 0);
  CHECK(buddy::q_star_fetches({lane_rule::q_star, 1, 1'000'000}, 5) == 5);
}

TEST_CASE("q* is the best of all divisions", "[property][miss_lanes]") {
  buddy::testing::dice roll(1);
  for (int round = 0; round != 2000; ++round) {
    buddy::miss_lanes const lanes{lane_rule::q_star, 1 + roll.roll(50), 1 + roll.roll(50)};
    std::uint32_t const m = roll.roll(20);
    std::uint64_t best = ~std::uint64_t{0};
    std::uint32_t best_f = 0;
    for (std::uint32_t f = 0; f <= m; ++f) {
      auto const longest = std::max(f * lanes.fetch_ns, (m - f) * lanes.host_ns);
      if (longest >= best) continue;
      best = longest;
      best_f = f;
    }
    REQUIRE(buddy::q_star_fetches(lanes, m) == best_f);
  }
}

TEST_CASE("fiddler sends an expert to the CPU when that is sooner", "[golden][miss_lanes]") {
  // 100 a token on the CPU, 150 for a copy: one token goes to the CPU, two tokens (200) do not.
  auto policy = make({.refill_after = 0, .lanes = {lane_rule::fiddler, 150, 100}, .max_tokens = 2});
  auto const& plan = ask(policy, {1, 2, 3, 1, 4, 5});
  CHECK(endings(plan) == std::vector{resolution::fetch, resolution::host, resolution::host, resolution::fetch,
                                     resolution::host, resolution::host});
  CHECK(plan.fetches.size == 1);
  CHECK(std::vector<std::uint16_t>(plan.host_experts.begin(), plan.host_experts.end()) ==
        std::vector<std::uint16_t>{2, 3, 4, 5});
}

TEST_CASE("q* fetches what was used last", "[golden][miss_lanes]") {
  // Equal costs: of 3 misses 1 is fetched (1 beside 2). Step 1: none was ever used, the lowest id, 1, is fetched.
  // Step 2: 4 5 6, again the lowest. Step 3: 2 3 6 with 6 used at step 2: it is fetched.
  auto policy = make({.refill_after = 0, .lanes = {lane_rule::q_star, 10, 10}});
  CHECK(endings(ask(policy, {3, 1, 2})) == std::vector{resolution::host, resolution::fetch, resolution::host});
  CHECK(endings(ask(policy, {4, 5, 6})) == std::vector{resolution::fetch, resolution::host, resolution::host});
  CHECK(endings(ask(policy, {2, 3, 6})) == std::vector{resolution::host, resolution::host, resolution::fetch});
  // 1, 4 and 6 are resident; a hit is a hit.
  CHECK(endings(ask(policy, {1, 4, 6})) == std::vector{resolution::own, resolution::own, resolution::own});
}

TEST_CASE("the cap on admissions stages what is beyond it, or leaves it to the CPU", "[golden][admission]") {
  auto staging = make({.admissions_per_layer = 1});
  auto const& staged = ask(staging, {1, 2, 3});
  REQUIRE(staged.fetches.size == 3);
  CHECK(staged.fetches[0].slot != buddy::no_slot);
  CHECK(staged.fetches[1].slot == buddy::no_slot);
  CHECK(residents(staging) == std::vector<std::uint16_t>{1});

  auto host = make({.refill_after = 0, .admissions_per_layer = 1, .over_cap = resolution::host});
  CHECK(endings(ask(host, {1, 2, 3})) == std::vector{resolution::fetch, resolution::host, resolution::host});
  CHECK(residents(host) == std::vector<std::uint16_t>{1});
}

TEST_CASE("refills count as admissions", "[golden][admission]") {
  // Everything goes to the CPU and earns a refill at once; only one may enter a step.
  auto policy = make({.on_refused = resolution::host, .refill_after = 1, .admissions_per_layer = 1});
  CHECK(ask(policy, {1, 2, 3}).refills.size == 1);
  CHECK(ask(policy, {4, 5, 6}).refills.size == 1);
  CHECK(residents(policy) == std::vector<std::uint16_t>{1, 4});
}

TEST_CASE("what decoding uses survives a prompt larger than the pool", "[golden][admission]") {
  auto policy = make({.max_tokens = 2});
  ask(policy, {1, 2, 3});
  auto const& prompt = ask(policy, {4, 5, 6, 0, 7, 1}, buddy::phase::prefill);
  CHECK(prompt.fetches.size == 5);  // one of them finds the free slot, four stream past
  CHECK(policy.total(buddy::phase::prefill).staged == 4);
  CHECK(residents(policy) == std::vector<std::uint16_t>{1, 2, 3, 4});

  auto open = make({.in_prefill = buddy::prefill_admission::all, .max_tokens = 2});
  ask(open, {1, 2, 3});
  ask(open, {4, 5, 6, 0, 7, 1}, buddy::phase::prefill);
  CHECK(residents(open) == std::vector<std::uint16_t>{1, 4, 5, 6});  // 1 is of the batch; 0 and 7 find no slot

  auto closed = make({.in_prefill = buddy::prefill_admission::none, .max_tokens = 2});
  ask(closed, {1, 2, 3});
  ask(closed, {4, 5, 6, 0, 7, 1}, buddy::phase::prefill);
  CHECK(residents(closed) == std::vector<std::uint16_t>{1, 2, 3});
}

TEST_CASE("lanes without costs are refused", "[golden][miss_lanes]") {
  CHECK_THROWS_AS(make({.lanes = {lane_rule::fiddler, 0, 1}}), buddy::config_error);
  CHECK_THROWS_AS(make({.lanes = {lane_rule::q_star, 1, buddy::max_lane_ns + 1}}), buddy::config_error);
  CHECK_THROWS_AS(make({.over_cap = resolution::drop}), buddy::config_error);
}
