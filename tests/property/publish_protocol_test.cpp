// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "property/publish_search.hpp"

#include <buddy/error.hpp>

using publish_model::budget;
using publish_model::faults;
using publish_model::search;

TEST_CASE("the publish protocol holds in every order of host, compute and copies", "[property][publish_protocol]") {
  auto const small = search({}, {});
  CHECK(small.broken.empty());
  CHECK(small.n_states > 10'000);  // it was not stuck
  auto const spare = search({.steps = 1, .fills = 3, .retires = 2, .abandons = 0, .n_slots = 3}, {});
  CHECK(spare.broken.empty());
  CHECK(spare.n_states > 10'000);
  auto const crowded = search({.steps = 1, .fills = 3, .retires = 2, .abandons = 0, .n_experts = 3}, {});
  CHECK(crowded.broken.empty());
  CHECK(crowded.n_states > 10'000);
}

TEST_CASE("a host that breaks one rule of the protocol is found out", "[property][publish_protocol]") {
  auto const breaks = [](faults const& f, char const* rule) { return search({}, f, rule).broken.count(rule) == 1; };
  CHECK(breaks({.copies_without_waiting = true}, "a slot is filled while it is read"));
  CHECK(breaks({.keeps_the_entry = true}, "a slot is filled while it is read"));
  CHECK(breaks({.closes_before_clearing = true}, "a slot is filled while it is read"));
  CHECK(breaks({.enters_before_copying = true}, "a slot is found before it is whole"));
  CHECK(breaks({.publishes_when_queued = true}, "a slot is found before it is whole"));
  CHECK(breaks({.waits_for_the_slot_only = true}, "the table and the books differ at rest"));
  CHECK(breaks({.fills_what_is_refused = true}, "an expert has two slots"));
}
