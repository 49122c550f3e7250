// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/policies/eviction/s3_fifo.hpp>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::s3_fifo;

namespace {

constexpr expert_key a{0, 0}, b{0, 1}, c{0, 2}, d{0, 3}, e{0, 4}, f{0, 5};

/// 3 slots: small holds max(1, 3 / 10) = 1, so 2 ghosts. Queues oldest first, hits in brackets.
/// a b c enter, hits on a a b:  small a(2) b(1) c(0)
/// d: a is promoted, b leaves.  small c d, main a(0), ghosts b
/// b: c leaves, b was early.    small d, main a(0) b(0), ghosts c
/// e: d leaves.                 small e, main a(0) b(0), ghosts c d
small_pool<s3_fifo> played() {
  small_pool pool(3, s3_fifo(3));
  for (auto const k : {a, b, c, a, a, b, d, b, e}) pool.ask({}, {k});
  return pool;
}

}  // namespace

TEST_CASE("s3_fifo gives up newcomers first", "[golden][s3_fifo]") {
  // LRU gives up a for e; here it proved itself
  auto const pool = played();
  CHECK(pool.holds(a));
  CHECK(pool.holds(b));
  CHECK(pool.holds(e));
  CHECK(pool.next() == e);
}

TEST_CASE("s3_fifo promotes what was hit twice and turns to the main queue", "[golden][s3_fifo]") {
  auto pool = played();
  pool.ask({}, {e});
  CHECK(pool.next() == e);  // one hit proves nothing
  pool.ask({}, {e});
  CHECK(pool.next() == a);  // small e(2), main a(0) b(0)
  pool.ask({}, {f});        // e is promoted, a leaves: small f, main b(0) e(0)
  CHECK(pool.holds(e));
  CHECK(pool.next() == f);
  for (auto const k : {b, b, f, f}) pool.ask({}, {k});
  CHECK(pool.next() == e);  // small f(2), main b(2) e(0)
  pool.ask({}, {e});
  CHECK(pool.next() == f);  // main b(2) e(1), then f(0) once promoted
  // c for f: main b(2) e(1) f(0) turns until f is the oldest: b(1) e(0). Was c a ghost? c d: yes. main b(1) e(0) c(0)
  pool.ask({}, {c});
  // small is empty: main gives up e, the first without a hit
  CHECK(pool.next() == e);
}

TEST_CASE("s3_fifo takes a hit from all it passes", "[golden][s3_fifo]") {
  // small is below its share when it is empty: see above, main b(1) e(0) c(0). d is a ghost too: d for e, b passed:
  // main c(0) b(0) d(0).
  auto pool = played();
  for (auto const k : {e, e, f, b, b, f, f, e, c, d}) pool.ask({}, {k});
  CHECK_FALSE(pool.holds(e));
  CHECK(pool.next() == c);
}

TEST_CASE("s3_fifo searches both queues for one that may leave", "[golden][s3_fifo]") {
  s3_fifo policy(2);
  policy.on_insert(slot_id{0}, {0, 0});
  policy.on_hit(slot_id{0});
  policy.on_hit(slot_id{0});
  policy.on_insert(slot_id{1}, {0, 1});
  CHECK(policy.victim([](slot_id s) { return s == slot_id{0}; }) == slot_id{0});
  CHECK(policy.victim([](slot_id) { return false; }) == buddy::no_slot);
}
