// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/policies/eviction/lru.hpp>
#include <buddy/policies/eviction/lru_token.hpp>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::lru;
using buddy::eviction::lru_token;

namespace {

constexpr expert_key a{0, 5}, b{1, 5}, c{2, 5};

/// Four steps of three layers that ask for a, b and c each time: a token cycle of 3.
template <class Eviction>
int hits_in_four_steps(small_pool<Eviction>& pool) {
  int hits = 0;
  for (std::uint64_t step = 1; step != 5; ++step) {
    for (auto const k : {a, b, c}) hits += pool.ask({step, k.layer, 3}, {k});
  }
  return hits;
}

}  // namespace

TEST_CASE("lru never hits below one token cycle", "[golden][lru]") {
  // 2 slots: each miss gives up the expert that is asked for next: a for c, b for a, c for b, ...
  small_pool pool(2, lru(2));
  CHECK(hits_in_four_steps(pool) == 0);
}

TEST_CASE("lru_token hits below one token cycle", "[golden][lru_token]") {
  // 2 slots. d = (layer of the slot - layer running - 1) mod 3
  // step 1, layer 0: a enters.  layer 1: b enters.  layer 2: for c leave a (d = 0) or b (d = 1): b         {a c}
  // step 2, layer 0: a hits.    layer 1: for b leaves c, the only one of step 1                            {a b}
  //         layer 2: for c leave a (d = 0) or b (d = 1), both of step 2: b                                 {a c}
  // steps 3 and 4 as step 2: 0 + 1 + 1 + 1 = 3 hits
  small_pool pool(2, lru_token(2));
  CHECK(hits_in_four_steps(pool) == 3);
  CHECK(pool.holds(a));
  CHECK(pool.holds(c));
}

TEST_CASE("lru_token gives up the lower expert of a layer first", "[golden][lru_token]") {
  // 3 slots, two layers, two experts each: a0 a1 enter, then b0; for b1 leave a0 or a1, both d = (0 - 1 - 1) mod 2 = 0
  small_pool pool(3, lru_token(3));
  pool.ask({1, 0, 2}, {{0, 1}, {0, 0}});
  pool.ask({1, 1, 2}, {{1, 0}, {1, 1}});
  CHECK_FALSE(pool.holds({0, 0}));
  CHECK(pool.holds({0, 1}));
}

TEST_CASE("lru_token puts the step of last use before the distance", "[golden][lru_token]") {
  // Layers 0, 1, 2 fill slots 0, 1, 2 in step 1; step 2 hits slots 0 and 2 at their layers. Running: layer 2.
  // Slot 1 is the only one of step 1: it leaves, though slot 2 (d = 2) is further away than slot 1 (d = 1).
  lru_token policy(3);
  for (std::uint16_t l = 0; l != 3; ++l) {
    policy.on_step({1, l, 3});
    policy.on_insert(slot_id{l}, {l, 7});
  }
  policy.on_step({2, 0, 3});
  policy.on_hit(slot_id{0});
  policy.on_step({2, 2, 3});
  policy.on_hit(slot_id{2});
  CHECK(policy.victim([](slot_id) { return true; }) == slot_id{1});

  // Without slot 1: slots 0 and 2 of step 2. At layer 2, d(0) = (0 - 2 - 1) mod 3 = 0 and d(2) = (2 - 2 - 1) mod 3 = 2.
  CHECK(policy.victim([](slot_id s) { return s != slot_id{1}; }) == slot_id{2});
  // At layer 0 of step 3: d(0) = (0 - 0 - 1) mod 3 = 2 and d(2) = (2 - 0 - 1) mod 3 = 1.
  policy.on_step({3, 0, 3});
  CHECK(policy.victim([](slot_id s) { return s != slot_id{1}; }) == slot_id{0});
}

TEST_CASE("lru_token passes over an oldest step that may not leave", "[golden][lru_token]") {
  lru_token policy(2);
  policy.on_step({1, 0, 2});
  policy.on_insert(slot_id{0}, {0, 0});
  policy.on_step({2, 0, 2});
  policy.on_insert(slot_id{1}, {0, 1});
  CHECK(policy.victim([](slot_id s) { return s == slot_id{1}; }) == slot_id{1});
  CHECK(policy.victim([](slot_id) { return false; }) == buddy::no_slot);
}
