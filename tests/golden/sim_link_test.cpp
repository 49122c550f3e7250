// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/transfer/immediate.hpp>
#include <buddy/policies/transfer/sim_link.hpp>

using buddy::ticket;
using buddy::transfer::sim_link;

namespace {

buddy::expert_copy record(std::uint64_t bytes) { return {{0, 0}, buddy::slot_id{0}, bytes, {}}; }

/// 100 ns latency, 1 byte/ns.
sim_link link(std::uint32_t in_flight_limit, std::uint32_t queue_capacity = 8) {
  return sim_link({100, 1'000'000'000, in_flight_limit, queue_capacity});
}

std::uint64_t end_of(sim_link& l, ticket t) {
  l.wait(t);
  return l.now_ns();
}

}  // namespace

TEST_CASE("sim_link hides the latency of a copy that was issued early", "[golden][sim_link]") {
  // two in flight, three copies of 1000 bytes at 0:
  // 0: issued 0,    data 100 .. 1100
  // 1: issued 0,    data max(100, 1100) = 1100 .. 2100
  // 2: issued 1100, data max(1200, 2100) = 2100 .. 3100
  sim_link l = link(2);
  ticket const a = l.submit(record(1000)), b = l.submit(record(1000)), c = l.submit(record(1000));
  CHECK(end_of(l, a) == 1100);
  CHECK(end_of(l, b) == 2100);
  CHECK_FALSE(l.done(c));
  CHECK(end_of(l, c) == 3100);
  CHECK(l.busy_ns() == 3000);
  CHECK(l.bytes_moved() == 3000);
}

TEST_CASE("sim_link pays each latency with one copy in flight", "[golden][sim_link]") {
  // 0: data 100 .. 1100; 1: issued 1100, data 1200 .. 2200; 2: issued 2200, data 2300 .. 3300
  sim_link l = link(1);
  ticket const a = l.submit(record(1000)), b = l.submit(record(1000)), c = l.submit(record(1000));
  CHECK(end_of(l, a) == 1100);
  CHECK(end_of(l, b) == 2200);
  CHECK(end_of(l, c) == 3300);
}

TEST_CASE("sim_link starts again after a pause", "[golden][sim_link]") {
  // submitted at 5000 on an idle link: data 5100 .. 5600
  sim_link l = link(2);
  l.wait(l.submit(record(1000)));
  l.advance_to(5000);
  CHECK(end_of(l, l.submit(record(500))) == 5600);
  CHECK(l.busy_ns() == 1500);
}

TEST_CASE("sim_link is done exactly at the end", "[golden][sim_link]") {
  sim_link l = link(2);
  ticket const a = l.submit(record(1000));
  l.advance_to(1099);
  CHECK_FALSE(l.done(a));
  CHECK(l.bytes_moved() == 0);
  l.advance_to(1100);
  CHECK(l.done(a));
  l.advance_to(50);  // the past is ignored
  CHECK(l.now_ns() == 1100);
}

TEST_CASE("sim_link lets later copies move up when one is cancelled", "[golden][sim_link]") {
  // one in flight; at 500 copy 1 is cancelled: copy 2 is issued at 1100 instead of 2200, data 1200 .. 2200
  sim_link l = link(1);
  ticket const a = l.submit(record(1000)), b = l.submit(record(1000)), c = l.submit(record(1000));
  l.advance_to(500);
  CHECK_FALSE(l.cancel(a));  // under way
  CHECK(l.cancel(b));
  CHECK_FALSE(l.cancel(b));
  CHECK(end_of(l, c) == 2200);
  CHECK(l.done(a));
  CHECK_FALSE(l.done(b));
  CHECK_FALSE(l.cancel(c));  // done
  CHECK(l.bytes_moved() == 2000);
}

TEST_CASE("sim_link cancels until the copy is issued", "[golden][sim_link]") {
  // with two in flight copy 2 is issued when copy 0 ends, at 1100
  sim_link early = link(2), late = link(2);
  for (int i = 0; i != 2; ++i) {
    (void)early.submit(record(1000));
    (void)late.submit(record(1000));
  }
  ticket const c = early.submit(record(1000));
  CHECK(c == late.submit(record(1000)));
  early.advance_to(1099);
  late.advance_to(1100);
  CHECK(early.cancel(c));
  CHECK_FALSE(late.cancel(c));
}

TEST_CASE("sim_link rounds up to whole nanoseconds", "[golden][sim_link]") {
  // 10 bytes at 3 bytes/s: 3,333,333,333.3 ns; 2^40 bytes at 64 GB/s: 1,099,511,627,776 / 64 = 17,179,869,184 ns
  sim_link slow({0, 3, 2, 8});
  CHECK(end_of(slow, slow.submit(record(10))) == 3'333'333'334U);
  sim_link fast({0, 64'000'000'000U, 2, 8});
  CHECK(end_of(fast, fast.submit(record(std::uint64_t{1} << 40))) == 17'179'869'184U);
  CHECK(fast.done(fast.submit(record(0))));  // nothing to move, no latency
}

TEST_CASE("sim_link takes nothing when its queue is full", "[golden][sim_link]") {
  sim_link l = link(1, 2);
  ticket const a = l.submit(record(1000));
  (void)l.submit(record(1000));
  CHECK(l.submit(record(1000)) == buddy::no_ticket);
  l.wait(a);
  CHECK(l.submit(record(1000)) != buddy::no_ticket);
}

TEST_CASE("sim_link refuses what cannot move", "[golden][sim_link]") {
  CHECK_THROWS_AS(sim_link({100, 0, 2, 8}), buddy::config_error);
  CHECK_THROWS_AS(sim_link({100, 1'000'000'000'000'001U, 2, 8}), buddy::config_error);
  CHECK_THROWS_AS(sim_link({100, 1, 0, 8}), buddy::config_error);
  CHECK_THROWS_AS(sim_link({100, 1, 2, 0}), buddy::config_error);
}

TEST_CASE("immediate is done when it is submitted", "[golden][immediate]") {
  buddy::transfer::immediate engine;
  CHECK_FALSE(engine.done(ticket{0}));
  ticket const a = engine.submit(record(10)), b = engine.submit(record(5));
  CHECK(engine.done(a));
  CHECK(engine.done(b));
  CHECK(a != b);
  CHECK_FALSE(engine.cancel(b));
  CHECK(engine.bytes_moved() == 15);
}

TEST_CASE("sim_link tells when a copy moves, until it is done", "[golden][sim_link]") {
  // one in flight: a 100 .. 1100, b issued 1100, data 1200 .. 2200; without b, c moves up to 1200 .. 2200
  sim_link l = link(1);
  ticket const a = l.submit(record(1000)), b = l.submit(record(1000)), c = l.submit(record(1000));
  CHECK(l.times(b)->issue_ns == 1100);
  CHECK(l.times(b)->start_ns == 1200);
  CHECK(l.times(b)->end_ns == 2200);
  CHECK(l.times(c)->end_ns == 3300);
  CHECK(l.cancel(b));
  CHECK_FALSE(l.times(b).has_value());
  CHECK(l.times(c)->end_ns == 2200);
  l.wait(a);
  CHECK_FALSE(l.times(a).has_value());
  CHECK_FALSE(l.times(ticket{17}).has_value());
}
