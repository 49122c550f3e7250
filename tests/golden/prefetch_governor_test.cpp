// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/buddy.hpp>

#include <cstdint>
#include <vector>

using buddy::expert_key;
using buddy::prefetch_governor;
using buddy::q16_one;

namespace {

constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = 8, .top_k = 2, .expert_bytes = 10};

auto make(buddy::policy_config config, std::uint64_t slots = 4) {
  config.prefetch_width = 2;
  return buddy::policy{shape,
                       buddy::slot_cache<buddy::eviction::lru>(shape, {.bytes = slots * 10}),
                       buddy::prediction::previous_token(shape),
                       buddy::sensitivity::never{},
                       buddy::selection::none{},
                       config};
}

template <class Policy>
void ask(Policy& policy, std::vector<std::uint16_t> const& experts) {
  std::vector<float> const weights(2, 0.5F);
  policy.begin_step();
  auto const& plan = policy.resolve(0, {{experts.data(), 2}, {weights.data(), 2}, {}, 1});
  for (auto const& c : plan.fetches) policy.commit(c);
  for (auto const& c : plan.waits) policy.commit(c);
}

}  // namespace

TEST_CASE("a rank that is never asked for is switched off, and probed", "[golden][prefetch_governor]") {
  prefetch_governor governor(shape, 1);
  expert_key const copied{0, 1}, victim{0, 2};
  CHECK(governor.status().on);  // 1/2 to start with, against a cost of 0
  // Every copy unused, every victim missed: after one round usefulness is 32768 - ceil(32768 / 32) = 31744, cost is
  // ceil(65536 / 32) = 2048; each round moves both by 1/32 of what is left, so they cross after about
  // ln(2/3) / ln(31/32) = 12.8 rounds (31/32)^n / 2 = 1 - (31/32)^n.
  int rounds = 0;
  for (; governor.status().on && rounds != 100; ++rounds) {
    governor.planned(copied, 0, victim);
    governor.missed(victim);
    governor.judge(0, [](expert_key) { return true; });
    if (rounds == 0) {
      CHECK(governor.status().usefulness == 31744);
      CHECK(governor.status().cost == 2048);
    }
  }
  CHECK(rounds == 13);
  CHECK(governor.status().reason().substr(0, 12) == "switched off");
  int allowed = 0;
  for (std::uint32_t i = 0; i != 10 * prefetch_governor::probe_every; ++i) allowed += governor.allows(0) ? 1 : 0;
  CHECK(allowed == 10);
  // Useful again: it comes back.
  for (rounds = 0; !governor.status().on && rounds != 100; ++rounds) {
    governor.planned(copied, 0, prefetch_governor::nobody);
    governor.judge(0, [](expert_key) { return false; });
  }
  CHECK(rounds < 100);
  CHECK(governor.allows(0));
}

TEST_CASE("without idle bytes a governed prefetch copies nothing, an unbounded one does",
          "[golden][prefetch_governor]") {
  // 2 slots. The layer asks for 1 2 and then for 3 4: previous_token predicts 3 4, both resident. Cancelled copies are
  // the way to make what was asked for absent: 3 and 4 are fetched but never arrive.
  for (auto const mode : {buddy::prefetch_mode::always, buddy::prefetch_mode::governed}) {
    auto policy = make({.prefetch = mode}, 2);
    std::vector<float> const weights(2, 0.5F);
    std::vector<std::uint16_t> const experts{3, 4};
    policy.begin_step();
    auto const& plan = policy.resolve(0, {{experts.data(), 2}, {weights.data(), 2}, {}, 1});
    for (auto const& c : plan.fetches) policy.cancel(c);
    ask(policy, {3, 4});
    std::vector<std::uint16_t> const others{5, 6};
    CHECK(policy.prefetch(0).empty());  // resident
    policy.cache().begin_batch({9, 0, 1});
    // both slots are taken by others, outside of the policy's sight
    for (std::uint16_t const e : others) policy.cache().commit(policy.cache().reserve({0, e}));
    policy.cache().begin_batch({10, 0, 1});
    auto const n = policy.prefetch(0).size;
    CHECK(n == (mode == buddy::prefetch_mode::always ? 2 : 0));
    if (mode == buddy::prefetch_mode::always) continue;
    policy.background_bytes(10);  // one record
    CHECK(policy.prefetch(0).size == 1);
    CHECK(policy.prefetch(0).empty());   // spent
    policy.background_bytes(1'000'000);  // kept up to four records
    CHECK(policy.prefetch(0).size == 1);
  }
}

TEST_CASE("a prefetch that only retains copies nothing and keeps what is predicted", "[golden][prefetch_governor]") {
  // 3 slots, LRU. 1 2 then 3: prediction 1 2 are retained before 4 comes: 3 leaves. Without, 1 would.
  auto policy = make({.prefetch = buddy::prefetch_mode::retain_only}, 3);
  ask(policy, {1, 2});
  policy.cache().begin_batch({2, 0, 1});
  policy.cache().commit(policy.cache().reserve({0, 3}));
  CHECK(policy.prefetch(0).empty());
  policy.cache().begin_batch({3, 0, 1});
  policy.cache().commit(policy.cache().reserve({0, 4}));
  CHECK(policy.cache().where({0, 1}) == buddy::residency::resident);
  CHECK(policy.cache().where({0, 2}) == buddy::residency::resident);
  CHECK(policy.cache().where({0, 3}) == buddy::residency::absent);
}

TEST_CASE("a refill budget buys a record when the bytes have come together", "[golden][refill_budget]") {
  // A record has 10 bytes, a step brings 4: the first copy in step 3 (12 bytes), the next when 2 + 4 + 4 = 10.
  buddy::refill_budget budget({.n_layers = 8, .n_experts = 4, .top_k = 1, .expert_bytes = 10}, 1, 4, 10);
  std::vector<int> bought;
  for (std::uint64_t step = 1; step != 8; ++step) {
    budget.begin_step(step);
    if (!budget.earns({7, 1}, 10)) continue;
    budget.spend({7, 1}, 10);
    bought.push_back(static_cast<int>(step));
  }
  // The bar rose in steps 1 and 2, to 3; after the copy the count starts anew, and needs three misses: steps 4, 5, 6.
  CHECK(bought == std::vector<int>{3, 6});
}

TEST_CASE("without a refill budget the n-th miss earns its copy", "[golden][refill_budget]") {
  buddy::refill_budget budget(shape, 3, 0, 10);
  CHECK_FALSE(budget.earns({0, 1}, 10));
  CHECK_FALSE(budget.earns({0, 1}, 10));
  CHECK_FALSE(budget.earns({0, 2}, 10));
  CHECK(budget.earns({0, 1}, 10));
  budget.spend({0, 1}, 10);
  CHECK_FALSE(budget.earns({0, 1}, 10));
  buddy::refill_budget never(shape, 0, 0, 10);
  CHECK_FALSE(never.earns({0, 1}, 10));
}

TEST_CASE("counts of a refill budget fade, one layer a step", "[golden][refill_budget]") {
  // Two layers: layer 0 is halved in even steps. Two misses, halved to 1: two more reach the bar of 3.
  buddy::refill_budget budget({.n_layers = 2, .n_experts = 2, .top_k = 1, .expert_bytes = 1}, 3, 1000, 1);
  budget.begin_step(1);
  CHECK_FALSE(budget.earns({0, 0}, 1));
  CHECK_FALSE(budget.earns({0, 0}, 1));
  budget.begin_step(2);  // 2 / 2 = 1
  CHECK_FALSE(budget.earns({0, 0}, 1));
  CHECK(budget.earns({0, 0}, 1));
}

TEST_CASE("a cancelled prefetch says nothing of its rank", "[golden][prefetch_governor]") {
  prefetch_governor governor(shape, 1);
  governor.planned({0, 1}, 0, {0, 2});
  governor.cancelled({0, 1});
  governor.missed({0, 2});
  governor.judge(0, [](expert_key) { return false; });
  CHECK(governor.status().usefulness == q16_one / 2);
  CHECK(governor.status().cost == 2048);  // its victim had left: ceil(65536 / 32)
}
