// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/slot_cache.hpp>

#include <array>
#include <cstdint>
#include <utility>

using buddy::expert_key;
using buddy::no_slot;
using buddy::residency;

namespace {

using cache_t = buddy::slot_cache<buddy::eviction::lru>;

constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 4, .top_k = 2, .expert_bytes = 10};
constexpr buddy::step_clock first_batch{1, 0, 2};

cache_t global(std::uint64_t bytes) { return {shape, {.bytes = bytes, .layout = buddy::pool_layout::global}}; }
cache_t per_layer(std::uint64_t bytes) { return {shape, {.bytes = bytes}}; }

/// Room for `k`, whose bytes arrive at once.
bool load(cache_t& cache, expert_key k) {
  auto const s = cache.reserve(k);
  if (s != no_slot) cache.commit(s);
  return s != no_slot;
}

}  // namespace

TEST_CASE("slot_cache names the slots that a layer's records may be in", "[unit][slot_cache]") {
  auto const apart = per_layer(40);  // 2 of each layer
  CHECK(apart.first_slot(0) == buddy::slot_id{0});
  CHECK(apart.first_slot(1) == buddy::slot_id{2});
  CHECK(apart.n_slots(1) == 2);
  auto const shared = global(30);
  CHECK(shared.first_slot(1) == buddy::slot_id{0});
  CHECK(shared.n_slots(1) == 3);
}

TEST_CASE("slot_cache refuses a budget without a slot", "[unit][slot_cache]") {
  CHECK_THROWS_AS(global(9), buddy::config_error);      // one record is 10 bytes
  CHECK_THROWS_AS(per_layer(19), buddy::config_error);  // one record of each layer is 20
  CHECK_THROWS_AS(cache_t({.n_layers = 0, .n_experts = 4, .top_k = 2, .expert_bytes = 10}, {.bytes = 100}),
                  buddy::config_error);
}

TEST_CASE("slot_cache has as many slots as records fit", "[unit][slot_cache]") {
  CHECK(global(39).capacity() == 3);     // floor(39 / 10)
  CHECK(per_layer(59).capacity() == 4);  // floor(59 / 20) of each of two layers
  CHECK(global(1'000).capacity() == 8);  // never more than there are experts
}

TEST_CASE("slot_cache finds what it was given, and nothing else", "[unit][slot_cache]") {
  auto cache = global(40);
  auto const s = cache.reserve({1, 2});
  cache.commit(s);
  CHECK(cache.where({1, 2}) == residency::resident);
  CHECK(cache.slot_of({1, 2}) == s);
  CHECK(cache.residents(1)[2] == s);
  for (std::uint16_t e = 0; e != 4; ++e) CHECK(cache.residents(0)[e] == no_slot);
  CHECK(cache.where({0, 2}) == residency::absent);
  CHECK(cache.slot_of({0, 2}) == no_slot);
  CHECK(cache.bytes_used() == 10);
  CHECK(cache.audit());
}

TEST_CASE("slot_cache does not count as resident what is on its way", "[unit][slot_cache]") {
  auto cache = global(40);
  auto const s = cache.reserve({0, 1});
  CHECK(cache.where({0, 1}) == residency::in_flight);
  CHECK(cache.slot_of({0, 1}) == s);
  CHECK(cache.residents(0)[1] == no_slot);
  CHECK(cache.bytes_used() == 10);  // the bytes are taken from the start
  cache.commit(s);
  CHECK(cache.where({0, 1}) == residency::resident);
}

TEST_CASE("slot_cache frees the slot of a cancelled copy", "[unit][slot_cache]") {
  auto cache = global(10);
  auto const s = cache.reserve({0, 1});
  CHECK(cache.reserve({0, 2}) == no_slot);  // the only slot is in flight
  cache.cancel(s);
  CHECK(cache.where({0, 1}) == residency::absent);
  CHECK(cache.bytes_used() == 0);
  CHECK(cache.reserve({0, 2}) == s);
  CHECK(cache.evictions() == 0);
  CHECK(cache.audit());
}

TEST_CASE("slot_cache gives up the least recently used of those that may leave", "[unit][slot_cache]") {
  auto cache = global(30);
  for (std::uint16_t e = 0; e != 3; ++e) REQUIRE(load(cache, {0, e}));
  cache.begin_batch(first_batch);
  cache.touch(cache.slot_of({0, 0}));  // order is now 1, 2, 0; 0 belongs to this batch
  REQUIRE(load(cache, {0, 3}));
  CHECK(cache.where({0, 1}) == residency::absent);
  CHECK(cache.evictions() == 1);
  CHECK(cache.where({0, 0}) == residency::resident);
}

TEST_CASE("slot_cache never gives up what this batch reads", "[unit][slot_cache]") {
  auto cache = global(20);
  REQUIRE(load(cache, {0, 0}));
  REQUIRE(load(cache, {0, 1}));
  cache.begin_batch(first_batch);
  cache.protect(cache.slot_of({0, 0}));
  REQUIRE(load(cache, {0, 2}));  // 0 is older, 1 leaves
  CHECK(cache.where({0, 0}) == residency::resident);
  CHECK(cache.reserve({0, 3}) == no_slot);  // 0 is protected, 2 came with this batch
  cache.begin_batch({2, 0, 2});
  CHECK(cache.reserve({0, 3}) != no_slot);  // protection has ended
  CHECK(cache.where({0, 0}) == residency::absent);
}

TEST_CASE("slot_cache keeps what is leased until the last lease ends", "[unit][slot_cache]") {
  auto cache = global(10);
  REQUIRE(load(cache, {0, 0}));
  cache.begin_batch(first_batch);
  auto const s = cache.slot_of({0, 0});
  cache.lease(s);
  cache.lease(s);
  CHECK(cache.reserve({0, 1}) == no_slot);
  cache.release(s);
  CHECK(cache.reserve({0, 1}) == no_slot);
  cache.release(s);
  CHECK(cache.reserve({0, 1}) == s);
  CHECK(cache.where({0, 0}) == residency::absent);
}

TEST_CASE("slot_cache never gives up what is on its way", "[unit][slot_cache]") {
  auto cache = global(10);
  auto const s = cache.reserve({0, 0});
  cache.begin_batch(first_batch);
  CHECK(cache.reserve({0, 1}) == no_slot);
  cache.commit(s);
  CHECK(cache.reserve({0, 1}) == s);
}

TEST_CASE("slot_cache gives up several small records for a large one", "[unit][slot_cache]") {
  // Records of 10 bytes in layer 0 and 30 in layer 1; 60 bytes hold six small ones, or two large, or mixtures.
  cache_t cache({.n_layers = 2, .n_experts = 6, .top_k = 2, .expert_bytes = 10},
                {.bytes = 60, .layout = buddy::pool_layout::global, .layer_bytes = {10, 30}});
  CHECK(cache.capacity() == 6);
  for (std::uint16_t e = 0; e != 6; ++e) REQUIRE(load(cache, {0, e}));
  CHECK(cache.bytes_used() == 60);
  cache.begin_batch(first_batch);
  REQUIRE(load(cache, {1, 0}));
  CHECK(cache.evictions() == 3);
  CHECK(cache.bytes_used() == 60);  // 3 x 10 + 30
  for (std::uint16_t e = 0; e != 3; ++e) CHECK(cache.where({0, e}) == residency::absent);
  for (std::uint16_t e = 3; e != 6; ++e) CHECK(cache.where({0, e}) == residency::resident);
  CHECK(cache.record_bytes(0) == 10);
  CHECK(cache.record_bytes(1) == 30);
  CHECK(cache.audit());
}

TEST_CASE("slot_cache holds the byte budget even with slots free", "[unit][slot_cache]") {
  cache_t cache({.n_layers = 2, .n_experts = 6, .top_k = 2, .expert_bytes = 10},
                {.bytes = 65, .layout = buddy::pool_layout::global, .layer_bytes = {10, 30}});
  REQUIRE(load(cache, {1, 0}));
  REQUIRE(load(cache, {1, 1}));  // 60 of 65 bytes, 2 of 6 slots
  CHECK(cache.reserve({0, 0}) == no_slot);
  CHECK(cache.bytes_used() == 60);
}

TEST_CASE("pools of one layer each do not take from one another", "[unit][slot_cache]") {
  auto cache = per_layer(40);  // two records of each layer
  REQUIRE(load(cache, {0, 0}));
  REQUIRE(load(cache, {0, 1}));
  cache.begin_batch(first_batch);
  for (std::uint16_t e = 0; e != 2; ++e) REQUIRE(load(cache, {1, e}));
  CHECK(cache.reserve({1, 2}) == no_slot);  // layer 1 is full of this batch; layer 0 is not asked
  CHECK(cache.evictions() == 0);
  REQUIRE(load(cache, {0, 2}));
  CHECK(cache.where({0, 0}) == residency::absent);
  CHECK(cache.where({1, 0}) == residency::resident);
  CHECK(cache.audit());
}

TEST_CASE("slot_cache warms up in the order given, as far as fits", "[unit][slot_cache]") {
  auto cache = global(30);
  std::array<expert_key, 5> const keys{{{1, 3}, {0, 0}, {1, 3}, {0, 1}, {0, 2}}};  // one of them twice
  cache.warm({keys.data(), 5});
  CHECK(cache.where({1, 3}) == residency::resident);
  CHECK(cache.where({0, 1}) == residency::resident);
  CHECK(cache.where({0, 2}) == residency::absent);
  CHECK(cache.evictions() == 0);
  CHECK(cache.reserve({0, 3}) != no_slot);  // what is warm may leave
}

TEST_CASE("slot_cache works on after a move", "[unit][slot_cache]") {
  auto source = global(20);
  REQUIRE(load(source, {0, 3}));
  auto const cache = std::move(source);
  CHECK(cache.where({0, 3}) == residency::resident);
  CHECK(cache.audit());
}

TEST_CASE("slot_cache does not wrap when the largest budget is half full", "[unit][slot_cache]") {
  std::uint64_t const large = (std::uint64_t{1} << 63) + 1;  // of layer 1; records of layer 0 have 1 byte
  cache_t cache({.n_layers = 2, .n_experts = 2, .top_k = 1, .expert_bytes = 1},
                {.bytes = ~std::uint64_t{0}, .layout = buddy::pool_layout::global, .layer_bytes = {1, large}});
  REQUIRE(load(cache, {1, 0}));
  CHECK(cache.reserve({1, 1}) == no_slot);  // 2 x (2^63 + 1) wraps to 2
  CHECK(cache.bytes_used() == large);
}

TEST_CASE("slot_cache changes nothing when a reserve fails", "[unit][slot_cache]") {
  // 60 bytes hold six small records of 10; a large one of 30 needs three of them to leave.
  cache_t cache({.n_layers = 2, .n_experts = 6, .top_k = 2, .expert_bytes = 10},
                {.bytes = 60, .layout = buddy::pool_layout::global, .layer_bytes = {10, 30}});
  for (std::uint16_t e = 0; e != 6; ++e) REQUIRE(load(cache, {0, e}));
  cache.begin_batch(first_batch);
  for (std::uint16_t e = 2; e != 6; ++e) cache.protect(cache.slot_of({0, e}));
  CHECK(cache.reserve({1, 0}) == no_slot);  // 0 and 1 may leave: 20 bytes
  for (std::uint16_t e = 0; e != 6; ++e) CHECK(cache.where({0, e}) == residency::resident);
  CHECK(cache.evictions() == 0);
  cache.begin_batch({2, 0, 2});
  for (std::uint16_t e = 3; e != 6; ++e) cache.protect(cache.slot_of({0, e}));
  CHECK(cache.reserve({1, 0}) != no_slot);  // 2 may leave too: 30 bytes
  CHECK(cache.evictions() == 3);
  CHECK(cache.audit());
}

TEST_CASE("slot_cache can be told of a demand for what is on its way", "[unit][slot_cache]") {
  auto cache = global(20);
  auto const s = cache.reserve({0, 0});
  REQUIRE(load(cache, {0, 1}));
  cache.touch(s);
  cache.commit(s);
  cache.begin_batch(first_batch);
  REQUIRE(load(cache, {0, 2}));
  CHECK(cache.where({0, 0}) == residency::resident);
  CHECK(cache.where({0, 1}) == residency::absent);  // it came later but was asked for before
}
