// SPDX-License-Identifier: Apache-2.0
// What the batch's rules decide. Experts 0 to 11; stand-ins are the lowest residents that the token does not use.
#include "catch.hpp"
#include "golden/tiny_models.hpp"

#include <buddy/error.hpp>
#include <buddy/policy.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

using buddy::refusal;
using buddy::resolution;

namespace {

/// Experts of a plan's slots with their resolutions: "0 own, 7 buddy".
std::string show(buddy::layer_plan const& plan) {
  std::string line;
  for (auto const& a : plan.assignments)
    line += (line.empty() ? "" : ", ") + std::to_string(a.expert) + " " + std::string(to_string(a.how));
  return line;
}

}  // namespace

TEST_CASE("the distribution gate closes when delta reaches beta", "[golden][policy]") {
  // 3, 4, 5 of six are missing: delta = 3/6 = beta, and delta >= beta forbids every stand-in.
  auto policy = tiny::one_layer(6, 9, {0, 1, 2, 8, 9, 10}, {.beta = 0.5});
  CHECK(show(tiny::step(policy, {0, 1, 2, 3, 4, 5})) == "0 own, 1 own, 2 own, 3 fetch, 4 fetch, 5 fetch");
  CHECK(policy.counters(0).refused(refusal::distribution_gate) == 3);
}

TEST_CASE("the distribution gate is open one expert below beta", "[golden][policy]") {
  auto policy = tiny::one_layer(6, 9, {0, 1, 2, 3, 8, 9}, {.beta = 0.5});  // delta = 2/6 < .5
  CHECK(show(tiny::step(policy, {0, 1, 2, 3, 4, 5})) == "0 own, 1 own, 2 own, 3 own, 8 buddy, 9 buddy");
  CHECK(policy.counters(0).refused(refusal::none) == 2);
}

TEST_CASE("the distribution gate closes at a beta that is no binary fraction", "[golden][policy]") {
  // delta = 3/5; 0.6 is not exact in binary, and must not end above it.
  auto policy = tiny::one_layer(5, 9, {0, 1, 8, 9, 10}, {.beta = 0.6});
  CHECK(show(tiny::step(policy, {0, 1, 2, 3, 4})) == "0 own, 1 own, 2 fetch, 3 fetch, 4 fetch");
}

TEST_CASE("the distribution gate counts distinct experts of the batch", "[golden][policy]") {
  // Two tokens of three: six slots name {0, 1, 2, 3}, of which 2 and 3 are missing: delta = 2/4, not 2/6.
  auto policy = tiny::one_layer(3, 9, {0, 1, 8, 9}, {.beta = 0.5, .max_tokens = 2});
  CHECK(show(tiny::step(policy, {{0, 1, 2, 0, 1, 3}, 2})) == "0 own, 1 own, 2 fetch, 0 own, 1 own, 3 fetch");
}

TEST_CASE("the distribution gate at beta 1 closes only when everything is missing", "[golden][policy]") {
  auto policy = tiny::one_layer(2, 9, {7, 8, 9}, {.beta = 1.0});
  CHECK(show(tiny::step(policy, {0, 1})) == "0 fetch, 1 fetch");  // delta = 2/2
  CHECK(show(tiny::step(policy, {0, 2})) == "0 own, 1 buddy");    // delta = 1/2
}

TEST_CASE("a refused slot ends as configured", "[golden][policy]") {
  buddy::policy_config config{.rho = 1, .refill_after = 0};
  SECTION("fetched") {
    auto policy = tiny::one_layer(3, 9, {8, 9}, config);
    auto const& plan = tiny::step(policy, {0, 1, 2});
    CHECK(show(plan) == "8 buddy, 1 fetch, 2 fetch");
    REQUIRE(plan.fetches.size == 2);
    CHECK(plan.fetches[0].expert == buddy::expert_key{0, 1});
    CHECK(plan.fetches[0].why == buddy::copy_reason::demand);
    CHECK(plan.fetches[0].bytes == 10);
    CHECK(plan.at(0, 1).slot == plan.fetches[0].slot);
  }
  SECTION("computed on the host") {
    config.on_refused = resolution::host;
    auto policy = tiny::one_layer(3, 9, {8, 9}, config);
    auto const& plan = tiny::step(policy, {0, 1, 2});
    CHECK(show(plan) == "8 buddy, 1 host, 2 host");
    CHECK(plan.fetches.empty());
    REQUIRE(plan.host_experts.size == 2);
    CHECK(plan.host_experts[1] == 2);
    CHECK(plan.at(0, 1).slot == buddy::no_slot);
  }
  SECTION("dropped") {
    config.on_refused = resolution::drop;
    auto policy = tiny::one_layer(3, 9, {8, 9}, config);
    auto const& plan = tiny::step(policy, {0, 1, 2});
    CHECK(show(plan) == "8 buddy, 1 drop, 2 drop");
    CHECK(plan.at(0, 1).weight == 0.0F);
    CHECK(policy.counters(0).refused(refusal::token_budget) == 2);
  }
}

TEST_CASE("exact mode fetches every miss and names why", "[golden][policy]") {
  auto policy = tiny::one_layer(3, 9, {0, 8, 9}, {.exact = true});
  CHECK(show(tiny::step(policy, {0, 1, 2})) == "0 own, 1 fetch, 2 fetch");
  CHECK(policy.counters(0).refused(refusal::exact_mode) == 2);
}

TEST_CASE("the replacement ratio is held over the window", "[golden][policy]") {
  // One token has 2 slots; the window has 2 tokens; half of its slots may get a stand-in. Every expert is missing but
  // for 8, 9, 10, and nothing is ever brought in.
  buddy::policy_config const config{
      .on_refused = resolution::host, .replacement_ratio = 0.5, .ratio_window = 2, .refill_after = 0};
  auto policy = tiny::one_layer(2, 9, {8, 9, 10}, config);
  CHECK(show(tiny::step(policy, {0, 1})) == "8 buddy, 1 host");   // floor(.5 * 2) = 1
  CHECK(show(tiny::step(policy, {0, 1})) == "8 buddy, 1 host");   // floor(.5 * 4) = 2, less the 1 before
  CHECK(show(tiny::step(policy, {8, 9})) == "8 own, 9 own");      // gives 0
  CHECK(show(tiny::step(policy, {0, 1})) == "8 buddy, 9 buddy");  // 2, less the 0 before
  CHECK(show(tiny::step(policy, {0, 1})) == "0 host, 1 host");    // 2, less 2
  CHECK(policy.counters(0).refused(refusal::replacement_ratio) == 4);
}

TEST_CASE("a hit keeps the bits of its weight beside a stand-in", "[golden][policy]") {
  auto policy = tiny::one_layer(2, 9, {0, 8});
  auto const& plan = tiny::step(policy, {{0, 1}, {0.1F, 0.7F}});
  CHECK(show(plan) == "0 own, 8 buddy");
  float const weight = 0.1F;
  CHECK(std::memcmp(&plan.at(0, 0).weight, &weight, sizeof weight) == 0);
  CHECK(plan.at(0, 1).weight == 0.7F);  // kept from the missing expert
}

TEST_CASE("a batch that needs more than the pool stages the rest", "[golden][policy]") {
  auto policy = tiny::one_layer(3, 2, {}, {.exact = true});
  policy.begin_step();
  auto const& plan = policy.resolve(0, tiny::batch{0, 1, 2});
  REQUIRE(plan.fetches.size == 3);
  CHECK(plan.fetches[1].slot != buddy::no_slot);
  CHECK(plan.fetches[2].slot == buddy::no_slot);  // both slots belong to this batch
  CHECK(plan.at(0, 2).slot == buddy::no_slot);
  for (auto const& c : plan.fetches) policy.commit(c);  // does nothing for the staged one
  CHECK(policy.counters(0).staged == 1);
  CHECK(show(tiny::step(policy, {0, 1, 2})) == "0 own, 1 own, 2 fetch");  // it was not admitted
  CHECK(policy.cache().audit());
}

TEST_CASE("what the batch hits is no victim, however old", "[golden][policy]") {
  auto policy = tiny::one_layer(3, 3, {5, 0, 1}, {.exact = true});  // 5 is the oldest
  CHECK(show(tiny::step(policy, {2, 0, 5})) == "2 fetch, 0 own, 5 own");
  CHECK(policy.cache().where({0, 5}) == buddy::residency::resident);
  CHECK(policy.cache().where({0, 1}) == buddy::residency::absent);
}

TEST_CASE("a stand-in of the batch is no victim, however old", "[golden][policy]") {
  // 8 and 9 stand in for 0 and 1; the refused 2 has to take the slot of 10, the newest.
  auto policy = tiny::one_layer(3, 3, {8, 9, 10}, {.rho = 2, .refill_after = 0});
  CHECK(show(tiny::step(policy, {0, 1, 2})) == "8 buddy, 9 buddy, 2 fetch");
  CHECK(policy.cache().where({0, 10}) == buddy::residency::absent);
}

TEST_CASE("being a stand-in does not make an expert look asked for", "[golden][policy]") {
  // 8 is older than 9 and stands in twice; it still leaves first.
  auto policy = tiny::one_layer(1, 2, {8, 9}, {.refill_after = 0});
  CHECK(show(tiny::step(policy, {0})) == "8 buddy");
  CHECK(show(tiny::step(policy, {0})) == "8 buddy");
  policy.cache().begin_batch({9, 0, 1});
  CHECK(policy.cache().reserve({0, 1}) != buddy::no_slot);
  CHECK(policy.cache().where({0, 8}) == buddy::residency::absent);
}

TEST_CASE("an expert missing for several tokens is fetched once", "[golden][policy]") {
  auto policy = tiny::one_layer(2, 4, {0}, {.exact = true, .max_tokens = 3});
  policy.begin_step();
  auto const& plan = policy.resolve(0, tiny::batch{{0, 1, 2, 1, 1, 0}, 3});
  REQUIRE(plan.fetches.size == 2);  // 1 and 2
  CHECK(plan.at(0, 1).slot == plan.fetches[0].slot);
  CHECK(plan.at(1, 1).slot == plan.fetches[0].slot);
  CHECK(plan.at(2, 0).slot == plan.fetches[0].slot);
  CHECK(policy.counters(0).lookups == 3);  // distinct: 0, 1, 2
  CHECK(policy.counters(0).hits == 1);
  CHECK(policy.counters(0).tokens == 3);
}

TEST_CASE("two tokens may share a stand-in, two slots of one may not", "[golden][policy]") {
  auto policy = tiny::one_layer(2, 4, {8, 9}, {.on_refused = resolution::drop, .refill_after = 0, .max_tokens = 2});
  CHECK(show(tiny::step(policy, {{0, 1, 2, 8}, 2})) == "8 buddy, 9 buddy, 9 buddy, 8 own");
}

TEST_CASE("the host computes an expert once for all its tokens", "[golden][policy]") {
  auto policy =
      tiny::one_layer(1, 4, {}, {.exact = true, .on_refused = resolution::host, .refill_after = 0, .max_tokens = 3});
  policy.begin_step();
  auto const& plan = policy.resolve(0, tiny::batch{{4, 4, 2}, 3});
  REQUIRE(plan.host_experts.size == 2);
  CHECK(plan.host_experts[0] == 4);
  CHECK(plan.host_experts[1] == 2);
}

TEST_CASE("counters add up", "[golden][policy]") {
  auto policy =
      tiny::one_layer(3, 6, {0, 8, 9}, {.rho = 1, .refill_after = 0, .max_tokens = 2}, {.mask = 0b011}, tiny::only{9});
  // Token 0: 0 own, 1 by 9, 2 forbidden. Token 1: 3 by 9, 0 own, 8 own.
  CHECK(show(tiny::step(policy, {{0, 1, 2, 3, 0, 8}, 2})) == "0 own, 9 buddy, 2 fetch, 9 buddy, 0 own, 8 own");
  auto const& count = policy.counters(0);
  CHECK(count.tokens == 2);
  CHECK(count.lookups == 5);  // 0, 1, 2, 3, 8
  CHECK(count.hits == 2);     // 0, 8
  CHECK(count.slots_ending(resolution::own) == 3);
  CHECK(count.slots_ending(resolution::buddy) == 2);
  CHECK(count.slots_ending(resolution::fetch) == 1);
  CHECK(count.refused(refusal::none) == 2);
  CHECK(count.refused(refusal::sensitivity) == 1);
  CHECK(count.stand_in_rank_sum == 10);  // twice rank 5
  CHECK(policy.total() == count);        // one layer
  CHECK(policy.counters(0, buddy::phase::prefill) == buddy::layer_counters{});
}

TEST_CASE("prefill is counted apart", "[golden][policy]") {
  auto policy = tiny::one_layer(1, 2, {});
  policy.begin_step(buddy::phase::prefill);
  policy.resolve(0, tiny::batch{0});
  CHECK(policy.counters(0, buddy::phase::prefill).lookups == 1);
  CHECK(policy.counters(0).lookups == 0);
}

TEST_CASE("a policy refuses a configuration that cannot work", "[unit][policy]") {
  double const nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(tiny::one_layer(2, 2, {}, {.on_refused = resolution::own}), buddy::config_error);
  CHECK_THROWS_AS(tiny::one_layer(2, 2, {}, {.on_refused = resolution::buddy}), buddy::config_error);
  CHECK_THROWS_AS(tiny::one_layer(2, 2, {}, {.exact = true, .on_refused = resolution::drop}), buddy::config_error);
  for (double const bad : {-0.1, 1.1, nan}) {
    CHECK_THROWS_AS(tiny::one_layer(2, 2, {}, {.beta = bad}), buddy::config_error);
    CHECK_THROWS_AS(tiny::one_layer(2, 2, {}, {.replacement_ratio = bad}), buddy::config_error);
  }
  CHECK_THROWS_AS(tiny::one_layer(2, 2, {}, {.ratio_window = 0}), buddy::config_error);
  CHECK_THROWS_AS(tiny::one_layer(2, 2, {}, {.max_tokens = 0}), buddy::config_error);
  CHECK_THROWS_AS(tiny::one_layer(2, 2, {}, {.ratio_window = (1U << 20) + 1}), buddy::config_error);
  CHECK_NOTHROW(tiny::one_layer(2, 2, {}, {.ratio_window = 1U << 20}));
  CHECK_THROWS_AS(tiny::one_layer(2, 2, {}, {.max_tokens = 65'537}), buddy::config_error);
  CHECK_NOTHROW(tiny::one_layer(2, 2, {}, {.max_tokens = 65'536}));
  CHECK_THROWS_AS(tiny::one_layer(13, 2, {}), buddy::config_error);  // top_k above the 12 experts
}

TEST_CASE("a policy refuses a cache made for another model", "[unit][policy]") {
  buddy::model_shape const one{.n_layers = 1, .n_experts = 12, .top_k = 2, .expert_bytes = 10};
  buddy::model_shape const other{.n_layers = 2, .n_experts = 12, .top_k = 2, .expert_bytes = 10};
  CHECK_THROWS_AS(
      buddy::policy(one, tiny::cache(other, {.bytes = 100}), tiny::foretold{}, tiny::masked{}, tiny::lowest_resident{}),
      buddy::config_error);
}
