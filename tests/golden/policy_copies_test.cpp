// SPDX-License-Identifier: Apache-2.0
// Copies that nobody waits for: predictions and refills.
#include "catch.hpp"
#include "golden/tiny_models.hpp"

#include <buddy/policy.hpp>

#include <cstdint>

using buddy::residency;
using buddy::resolution;

namespace {

/// A policy that foretells experts 4 and 5, with residents 8 and 9, top-2.
auto foretelling(std::uint32_t slots, buddy::policy_config const& config = {.exact = true}) {
  return tiny::one_layer(2, slots, {8, 9}, config, {}, tiny::lowest_resident{}, tiny::foretold{{4, 5}});
}

}  // namespace

TEST_CASE("a prefetched expert that arrives in time is a hit", "[golden][policy]") {
  auto policy = foretelling(4);
  auto const copies = policy.prefetch(0);
  REQUIRE(copies.size == 2);
  CHECK(copies[0].expert == buddy::expert_key{0, 4});
  CHECK(copies[0].why == buddy::copy_reason::prefetch);
  for (auto const& c : copies) policy.commit(c);
  auto const& plan = tiny::step(policy, {4, 8});
  CHECK(plan.fetches.empty());
  CHECK(plan.waits.empty());
  CHECK(policy.counters(0).hits == 2);
  CHECK(policy.counters(0).prefetches == 2);
  CHECK(policy.counters(0).useful_prefetches == 1);  // 5 was not asked for
  tiny::step(policy, {4, 8});
  CHECK(policy.counters(0).useful_prefetches == 1);  // 4 counts once
}

TEST_CASE("a prefetched expert that is late is waited for, not fetched again", "[golden][policy]") {
  auto policy = foretelling(4);
  auto const slot = policy.prefetch(0)[0].slot;
  policy.begin_step();
  auto const& plan = policy.resolve(0, tiny::batch{4, 0});
  CHECK(plan.at(0, 0).how == resolution::fetch);
  CHECK(plan.at(0, 0).slot == slot);
  REQUIRE(plan.waits.size == 1);
  CHECK(plan.waits[0].expert == buddy::expert_key{0, 4});
  CHECK(plan.waits[0].slot == slot);
  REQUIRE(plan.fetches.size == 1);  // only 0
  CHECK(plan.fetches[0].expert == buddy::expert_key{0, 0});
  CHECK(policy.counters(0).waits == 1);
  CHECK(policy.counters(0).fetches == 1);
  CHECK(policy.counters(0).useful_prefetches == 1);
  CHECK(policy.counters(0).hits == 0);  // it was not there
  policy.commit(plan.waits[0]);
  CHECK(policy.cache().where({0, 4}) == residency::resident);
}

TEST_CASE("a late expert belongs to the batch that waited for it", "[golden][policy]") {
  // Two slots: 4 was reserved for an earlier batch; once it is there it must not make room for 5.
  auto policy = tiny::one_layer(1, 2, {}, {.exact = true}, {}, tiny::lowest_resident{}, tiny::foretold{{4, 5}});
  CHECK(policy.prefetch(0).size == 1);  // top_k = 1: only 4
  tiny::step(policy, {7});              // takes the other slot
  tiny::step(policy, {4});              // waited for
  policy.cache().protect(policy.cache().slot_of({0, 7}));
  CHECK(policy.cache().reserve({0, 5}) == buddy::no_slot);
}

TEST_CASE("a cancelled prefetch gives its slot back and is no use", "[golden][policy]") {
  auto policy = foretelling(4);
  auto const copy = policy.prefetch(0)[0];
  policy.cancel(copy);
  CHECK(policy.cache().where({0, 4}) == residency::absent);
  auto const& plan = tiny::step(policy, {4, 8});
  REQUIRE(plan.fetches.size == 1);
  CHECK(plan.waits.empty());
  CHECK(policy.counters(0).useful_prefetches == 0);
  CHECK(policy.counters(0).prefetches == 1 + 1);  // planned: 4 and 5
  CHECK(policy.counters(0).cancelled_prefetches == 1);
  CHECK(policy.counters(0).cancelled_refills == 0);
}

TEST_CASE("a cancelled refill was planned and is counted as cancelled", "[golden][policy]") {
  auto policy = tiny::one_layer(1, 3, {8}, {.on_refused = resolution::host, .rho = 0, .refill_after = 1});
  policy.begin_step();
  auto const refill = policy.resolve(0, tiny::batch{3}).refills[0];
  policy.begin_step(buddy::phase::prefill);
  policy.cancel(refill);
  CHECK(policy.counters(0).refills == 1);
  CHECK(policy.counters(0).cancelled_refills == 0);
  CHECK(policy.counters(0, buddy::phase::prefill).cancelled_refills == 1);  // the phase in which it was cancelled
  auto sum = policy.total();
  sum += policy.total(buddy::phase::prefill);
  CHECK(sum.cancelled_refills == 1);
}

TEST_CASE("a late demand is the most recent use of its expert", "[golden][policy]") {
  // Three slots, 8 and 9 resident, 4 on its way: oldest first 8 9 4; the hit makes it 9 4 8, the late demand 9 8 4.
  auto policy = tiny::one_layer(1, 3, {8, 9}, {.exact = true}, {}, tiny::lowest_resident{}, tiny::foretold{{4}});
  REQUIRE(policy.prefetch(0).size == 1);
  tiny::step(policy, {8});
  tiny::step(policy, {4});
  REQUIRE(policy.counters(0).waits == 1);
  tiny::step(policy, {0});  // 9 leaves
  tiny::step(policy, {1});  // then 8
  CHECK(policy.cache().where({0, 8}) == residency::absent);
  CHECK(policy.cache().where({0, 4}) == residency::resident);
}

TEST_CASE("a prefetch that leaves unused is no use when its expert is fetched later", "[golden][policy]") {
  auto policy = tiny::one_layer(1, 1, {}, {.exact = true}, {}, tiny::lowest_resident{}, tiny::foretold{{4}});
  for (auto const& c : policy.prefetch(0)) policy.commit(c);
  tiny::step(policy, {0});  // takes the only slot
  tiny::step(policy, {4});  // fetched on demand
  tiny::step(policy, {4});  // a hit that owes nothing to the prediction
  CHECK(policy.counters(0).hits == 1);
  CHECK(policy.counters(0).prefetches == 1);
  CHECK(policy.counters(0).useful_prefetches == 0);
}

TEST_CASE("a prefetch never takes what the present batch uses", "[golden][policy]") {
  auto policy = foretelling(2);
  tiny::step(policy, {8, 9});
  CHECK(policy.prefetch(0).empty());
  CHECK(policy.cache().where({0, 8}) == residency::resident);
}

TEST_CASE("a prefetch never takes what it foretells itself", "[golden][policy]") {
  // 4 is resident and old; making room for 5 must not cost it.
  auto policy = tiny::one_layer(1, 2, {4, 9}, {.exact = true, .prefetch_width = 2}, {}, tiny::lowest_resident{},
                                tiny::foretold{{5, 4}});
  REQUIRE(policy.prefetch(0).size == 1);
  CHECK(policy.cache().where({0, 4}) == residency::resident);
  CHECK(policy.cache().where({0, 9}) == residency::absent);
}

TEST_CASE("the prefetch width bounds one call", "[golden][policy]") {
  auto policy = foretelling(4, {.exact = true, .prefetch_width = 1});
  CHECK(policy.prefetch(0).size == 1);
  CHECK(policy.counters(0).prefetches == 1);
}

TEST_CASE("a prefetch width beyond all experts is all experts", "[golden][policy]") {
  auto policy = foretelling(4, {.exact = true, .prefetch_width = 0xffff'ffffU});
  CHECK(policy.prefetch(0).size == 2);
}

TEST_CASE("a prefetch takes no more than the host has room for", "[golden][policy]") {
  auto policy = foretelling(4, {.exact = true});
  policy.background_room(1);
  CHECK(policy.prefetch(0).size == 1);
  CHECK(policy.prefetch(0).empty());
}

TEST_CASE("an expert that is replaced again and again is brought in at its n-th miss", "[golden][policy]") {
  auto policy = tiny::one_layer(1, 3, {8, 9}, {.refill_after = 3});
  for (int miss = 1; miss != 3; ++miss) {
    auto const& plan = tiny::step(policy, {0});
    CHECK(plan.at(0, 0).how == resolution::buddy);
    CHECK(plan.refills.empty());
  }
  auto const& third = tiny::step(policy, {0});
  CHECK(third.at(0, 0).how == resolution::buddy);  // nothing waits for a refill
  REQUIRE(third.refills.size == 1);
  CHECK(third.refills[0].expert == buddy::expert_key{0, 0});
  CHECK(third.refills[0].why == buddy::copy_reason::refill);
  CHECK(third.fetches.empty());
  CHECK(tiny::step(policy, {0}).at(0, 0).how == resolution::own);
  CHECK(policy.counters(0).refills == 1);
}

TEST_CASE("an expert that several tokens of a batch miss has missed once", "[golden][policy]") {
  auto policy = tiny::one_layer(1, 3, {8, 9}, {.refill_after = 2, .max_tokens = 2});
  CHECK(tiny::step(policy, {{0, 0}, 2}).refills.empty());
  CHECK(tiny::step(policy, {{0, 0}, 2}).refills.size == 1);
}

TEST_CASE("refill_after 0 never brings anything in", "[golden][policy]") {
  auto policy = tiny::one_layer(1, 3, {8, 9}, {.refill_after = 0});
  for (int i = 0; i != 10; ++i) CHECK(tiny::step(policy, {0}).refills.empty());
}

TEST_CASE("a refill waits for room that the batch does not need", "[golden][policy]") {
  auto policy = tiny::one_layer(2, 2, {8, 9}, {.refill_after = 1});
  CHECK(tiny::step(policy, {0, 1}).refills.empty());  // 8 and 9 stand in: nothing may leave
  auto const& plan = tiny::step(policy, {0, 8});      // 9 stands in for 0, 8 is hit
  CHECK(plan.refills.empty());
  CHECK(policy.cache().audit());
}

TEST_CASE("no slot is emptied for a background copy that the host cannot start", "[golden][policy]") {
  // Slots for 3, residents 8 and 9: the first refill has a free slot, the second would evict 9.
  auto policy = tiny::one_layer(1, 3, {8, 9}, {.refill_after = 1});
  policy.background_room(1);
  CHECK(tiny::step(policy, {0}).refills.size == 1);
  CHECK(tiny::step(policy, {1}).refills.empty());  // no room left, and nothing has left
  CHECK(policy.cache().evictions() == 0);
  policy.background_room(1);
  CHECK(tiny::step(policy, {1}).refills.size == 1);  // the miss was remembered
  CHECK(policy.cache().evictions() == 1);
}

TEST_CASE("a dropped and a host slot earn their refill too", "[golden][policy]") {
  for (auto const how : {resolution::drop, resolution::host}) {
    auto policy = tiny::one_layer(1, 2, {}, {.on_refused = how, .refill_after = 1});
    CHECK(tiny::step(policy, {3}).refills.size == 1);
    CHECK(tiny::step(policy, {3}).at(0, 0).how == resolution::own);
  }
}

TEST_CASE("a refill under way is not ordered twice, and its expert is missing until it arrives", "[golden][policy]") {
  auto policy = tiny::one_layer(1, 3, {8}, {.on_refused = resolution::host, .rho = 0, .refill_after = 1});
  policy.begin_step();
  CHECK(policy.resolve(0, tiny::batch{3}).refills.size == 1);  // not committed
  policy.begin_step();
  auto const& plan = policy.resolve(0, tiny::batch{3});
  CHECK(plan.refills.empty());
  CHECK(plan.at(0, 0).how == resolution::host);
}
