// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/publish_protocol.hpp>
#include <buddy/error.hpp>

using buddy::no_slot;
using buddy::slot_id;
using buddy::cuda::epoch;
using buddy::cuda::publish_protocol;
using buddy::cuda::slot_state;

namespace {

constexpr slot_id s0{0}, s1{1};

/// Expert `e` is live in slot `s`.
void make_live(publish_protocol& p, slot_id s, std::size_t e) {
  REQUIRE(p.begin_fill(s, e).granted);
  REQUIRE(p.publish(s));
}

}  // namespace

TEST_CASE("a slot goes from free over filling and live to retired, and round again", "[golden][publish_protocol]") {
  publish_protocol p(2, 4);
  CHECK(p.state(s0) == slot_state::free);
  auto const first = p.begin_fill(s0, 3);
  CHECK(first.granted);
  CHECK(first.after == epoch{0});  // nobody ever read it
  CHECK(p.state(s0) == slot_state::filling);
  CHECK(p.slot_of(3) == s0);
  CHECK(p.publish(s0));
  CHECK(p.state(s0) == slot_state::live);
  CHECK(p.retire(s0));
  CHECK(p.state(s0) == slot_state::retired);
  CHECK(p.slot_of(3) == no_slot);
  CHECK_FALSE(p.begin_fill(s0, 1).granted);  // its epoch is open
  CHECK(p.close_epoch() == epoch{1});
  CHECK(p.close_epoch() == epoch{1});  // nothing was retired since
  auto const second = p.begin_fill(s0, 1);
  CHECK(second.granted);
  CHECK(second.after == epoch{1});
  CHECK(p.expert_in(s0) == 1);
}

TEST_CASE("an expert that comes back waits until its entry is cleared", "[golden][publish_protocol]") {
  publish_protocol p(2, 4);
  make_live(p, s0, 2);
  p.retire(s0);
  CHECK_FALSE(p.begin_fill(s1, 2).granted);
  p.close_epoch();
  auto const order = p.begin_fill(s1, 2);  // slot 1 is fresh, but the clearing must not overtake the new entry
  CHECK(order.granted);
  CHECK(order.after == epoch{1});
}

TEST_CASE("verbs out of order change nothing", "[golden][publish_protocol]") {
  publish_protocol p(2, 4);
  CHECK_FALSE(p.retire(s0));
  CHECK_FALSE(p.publish(s0));
  CHECK_FALSE(p.abandon(s0));
  REQUIRE(p.begin_fill(s0, 0).granted);
  CHECK_FALSE(p.retire(s0));
  CHECK_FALSE(p.begin_fill(s0, 1).granted);  // in use
  CHECK_FALSE(p.begin_fill(s1, 0).granted);  // on its way already
  REQUIRE(p.publish(s0));
  CHECK_FALSE(p.publish(s0));
  CHECK_FALSE(p.abandon(s0));
  CHECK(p.slot_of(0) == s0);
}

TEST_CASE("an abandoned slot keeps its epoch", "[golden][publish_protocol]") {
  publish_protocol p(1, 4);
  make_live(p, s0, 2);
  p.retire(s0);
  p.close_epoch();
  REQUIRE(p.begin_fill(s0, 1).granted);
  CHECK(p.abandon(s0));
  CHECK(p.slot_of(1) == no_slot);
  CHECK(p.begin_fill(s0, 3).after == epoch{1});  // a reader of epoch 1 may still be there
}

TEST_CASE("the protocol refuses to be empty", "[golden][publish_protocol]") {
  CHECK_THROWS_AS(publish_protocol(0, 1), buddy::config_error);
  CHECK_THROWS_AS(publish_protocol(1, 0), buddy::config_error);
}
