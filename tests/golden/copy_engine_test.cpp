// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/sim_copy_backend.hpp>
#include <buddy/error.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using buddy::copy_reason;
using buddy::expert_copy;
using buddy::ticket;
using buddy::cuda::copy_engine;
using buddy::cuda::copy_engine_options;
using buddy::cuda::copy_mark;
using buddy::cuda::copy_piece;

namespace {

/// 100 ns latency, 1 byte/ns; writes down each issue as "mark: expert+offset/bytes ...", an end marked by '.'.
struct logged_link : buddy::cuda::sim_copy_backend {
  logged_link() : logged_link(1U << 30U) {}
  explicit logged_link(std::uint64_t limit) : sim_copy_backend({100, 1'000'000'000, 2, limit}) {}

  void issue(buddy::view<copy_piece const> pieces, copy_mark mark) noexcept {
    std::string line = std::to_string(static_cast<std::uint32_t>(mark)) + ":";
    for (copy_piece const& p : pieces)
      line += " " + std::to_string(p.expert.expert) + "+" + std::to_string(p.offset) + "/" + std::to_string(p.bytes) +
              (p.last ? "." : "");
    log.push_back(line);
    sim_copy_backend::issue(pieces, mark);
  }

  std::vector<std::string> log;
};

using log_lines = std::vector<std::string>;
using engine = copy_engine<logged_link>;

engine make(std::uint64_t background_bytes = 200, std::uint64_t batch_below = 0, std::uint64_t limit = 1U << 30U) {
  return engine(logged_link(limit), {.background_bytes = background_bytes,
                                     .batch_below_bytes = batch_below,
                                     .batch_limit = 3,
                                     .in_flight_limit = 2,
                                     .queue_capacity = 8});
}

expert_copy demand(std::uint16_t e, std::uint64_t bytes) {
  return {{0, e}, buddy::slot_id{e}, bytes, copy_reason::demand};
}
expert_copy prefetch(std::uint16_t e, std::uint64_t bytes) {
  return {{0, e}, buddy::slot_id{e}, bytes, copy_reason::prefetch};
}

std::uint64_t end_of(engine& e, ticket t) {
  e.wait(t);
  return e.backend().now_ns();
}

}  // namespace

TEST_CASE("a demanded record moves whole, two at a time", "[golden][copy_engine]") {
  // data 100 .. 1100, then 1100 .. 2100: the second latency is hidden; the third is issued at 1100, data 2100 .. 3100
  engine e = make();
  ticket const a = e.submit(demand(1, 1000)), b = e.submit(demand(2, 1000)), c = e.submit(demand(3, 1000));
  CHECK(e.backend().log == log_lines{"0: 1+0/1000.", "1: 2+0/1000."});
  CHECK(end_of(e, a) == 1100);
  CHECK(e.done(a));
  CHECK_FALSE(e.done(b));
  CHECK(e.backend().log.back() == "0: 3+0/1000.");
  CHECK(end_of(e, c) == 3100);
  CHECK(e.counters().copies == 3);
  CHECK(e.counters().bytes == 3000);
  CHECK(e.counters().background_bytes == 0);
}

TEST_CASE("a prefetch moves in pieces, half of its share each", "[golden][copy_engine]") {
  // share 200, two in flight: pieces of 100, 100, 50. Issued at 0, 0 and, when the first lands, at 200:
  // data 100 .. 200 .. 300, then max(200 + 100, 300) .. 350
  engine e = make();
  ticket const a = e.submit(prefetch(1, 250));
  CHECK(end_of(e, a) == 350);
  CHECK(e.backend().log == log_lines{"0: 1+0/100", "1: 1+100/100", "0: 1+200/50."});
  CHECK(e.counters().background_bytes == 250);
  CHECK(e.counters().issues == 3);
  CHECK(e.counters().copies == 1);
}

TEST_CASE("a demand waits for no more than one share once the background is cancelled", "[golden][copy_engine]") {
  // 10,000 bytes of prefetches; at 0 two pieces of 100 are on the link, data 100 .. 300.
  // The demand takes the first free mark, at 200: data max(200 + 100, 300) = 300 .. 1300
  engine e = make();
  ticket const p = e.submit(prefetch(1, 5000)), q = e.submit(prefetch(2, 5000));
  std::vector<ticket> cancelled;
  e.cancel_background([&](ticket t, expert_copy const& c) {
    cancelled.push_back(t);
    CHECK(c.why == copy_reason::prefetch);
  });
  CHECK(cancelled == std::vector<ticket>{p, q});
  ticket const d = e.submit(demand(3, 1000));
  CHECK(end_of(e, d) == 1300);
  CHECK(e.backend().log == log_lines{"0: 1+0/100", "1: 1+100/100", "0: 3+0/1000."});
  CHECK_FALSE(e.done(p));
  CHECK_FALSE(e.cancel(p));
  CHECK(e.counters().cancelled == 2);
  CHECK(e.counters().wasted_bytes == 200);
  CHECK(e.counters().copies == 1);
  CHECK(e.counters().bytes == 1200);
}

TEST_CASE("cancelling the background leaves demands and what is issued whole", "[golden][copy_engine]") {
  engine e = make();
  ticket const a = e.submit(prefetch(1, 80)), b = e.submit(demand(2, 500)), c = e.submit(demand(3, 500)),
               d = e.submit(prefetch(4, 80));
  e.cancel_background([&](ticket t, expert_copy const&) { CHECK(t == d); });
  e.wait(c);
  CHECK(e.done(a));
  CHECK(e.done(b));
  CHECK_FALSE(e.done(d));
  CHECK(e.counters().cancelled == 1);
  CHECK(e.counters().wasted_bytes == 0);
}

TEST_CASE("a copy can be cancelled until its last piece is issued", "[golden][copy_engine]") {
  // pieces at 0, 0, 200: until 200 the last of 250 bytes waits
  engine early = make(), late = make();
  ticket const a = early.submit(prefetch(1, 250)), b = late.submit(prefetch(1, 250));
  early.backend().advance_to(199);
  early.poll();
  late.backend().advance_to(200);
  late.poll();
  CHECK(early.cancel(a));
  CHECK_FALSE(late.cancel(b));
  CHECK_FALSE(early.cancel(buddy::no_ticket));
}

TEST_CASE("small records share an issue, large ones do not", "[golden][copy_engine]") {
  // batches of at most 3 records below 100 bytes; the first two leave alone, because the link is idle
  engine e = make(200, 100);
  ticket last{};
  for (std::uint16_t i = 1; i != 7; ++i) last = e.submit(demand(i, 10 * i));
  last = e.submit(demand(7, 100));
  e.wait(last);
  CHECK(e.backend().log ==
        log_lines{"0: 1+0/10.", "1: 2+0/20.", "0: 3+0/30. 4+0/40. 5+0/50.", "1: 6+0/60.", "0: 7+0/100."});
  CHECK(e.counters().issues == 5);
  CHECK(e.counters().copies == 7);
}

TEST_CASE("records below 256 KiB do not share an issue with larger ones", "[golden][copy_engine]") {
  engine e = make(1U << 20U, 1U << 20U);
  (void)e.submit(demand(1, 1000)), (void)e.submit(demand(2, 1000));
  (void)e.submit(demand(3, 262'143)), (void)e.submit(demand(4, 262'144));
  e.wait(e.submit(demand(5, 262'144)));
  CHECK(e.backend().log == log_lines{"0: 1+0/1000.", "1: 2+0/1000.", "0: 3+0/262143.", "1: 4+0/262144. 5+0/262144."});
}

TEST_CASE("a demand and a prefetch do not share an issue", "[golden][copy_engine]") {
  engine e = make(200, 100);
  (void)e.submit(demand(1, 10)), (void)e.submit(demand(2, 10)), (void)e.submit(demand(3, 10));
  e.wait(e.submit(prefetch(4, 10)));
  CHECK(e.backend().log == log_lines{"0: 1+0/10.", "1: 2+0/10.", "0: 3+0/10.", "1: 4+0/10."});
}

TEST_CASE("records larger than a staging buffer move in parts", "[golden][copy_engine]") {
  // buffers of 64 bytes: a demand of 150 in 64, 64, 22; a prefetch's half share of 100 is cut too; and a batch fits
  engine e = make(200, 100, 64);
  (void)e.submit(demand(1, 150)), (void)e.submit(prefetch(2, 70));
  (void)e.submit(demand(3, 40)), (void)e.submit(demand(4, 24));
  e.wait(e.submit(demand(5, 1)));
  CHECK(e.backend().log == log_lines{"0: 1+0/64", "1: 1+64/64", "0: 1+128/22.", "1: 2+0/64", "0: 2+64/6.",
                                     "1: 3+0/40. 4+0/24.", "0: 5+0/1."});
}

TEST_CASE("an empty record is done when the link has been asked", "[golden][copy_engine]") {
  engine e = make();
  ticket const a = e.submit(demand(1, 0));
  CHECK(e.backend().log == log_lines{"0: 1+0/0."});
  CHECK(end_of(e, a) == 100);
}

TEST_CASE("a full queue takes nothing", "[golden][copy_engine]") {
  engine e = make();
  ticket const first = e.submit(demand(0, 10));
  for (std::uint16_t i = 1; i != 8; ++i) CHECK(e.submit(demand(i, 10)) != buddy::no_ticket);
  CHECK(e.submit(demand(8, 10)) == buddy::no_ticket);
  e.wait(first);
  CHECK(e.submit(demand(8, 10)) != buddy::no_ticket);
}

namespace {

struct broken_link : logged_link {
  bool reached(copy_mark) noexcept { return false; }
  void wait(copy_mark) noexcept { gone = true; }
  [[nodiscard]] bool failed() const noexcept { return gone; }
  bool gone = false;
};

}  // namespace

TEST_CASE("a link that fails ends every wait, and takes nothing more", "[golden][copy_engine]") {
  copy_engine<broken_link> e{broken_link()};
  ticket const a = e.submit(demand(1, 10));
  CHECK_FALSE(e.failed());
  e.wait(a);
  CHECK(e.failed());
  CHECK_FALSE(e.done(a));
  CHECK(e.submit(demand(2, 10)) == buddy::no_ticket);
}

TEST_CASE("copy_engine refuses options that cannot work", "[golden][copy_engine]") {
  auto const with = [](copy_engine_options o) { return engine(logged_link(), o); };
  CHECK_THROWS_AS(with({.batch_limit = 0}), buddy::config_error);
  CHECK_THROWS_AS(with({.in_flight_limit = 0}), buddy::config_error);
  CHECK_THROWS_AS(with({.in_flight_limit = 3}), buddy::config_error);
  CHECK_THROWS_AS(with({.queue_capacity = 0}), buddy::config_error);
  CHECK_THROWS_AS(with({.background_bytes = 1}), buddy::config_error);
  CHECK_THROWS_AS(buddy::cuda::sim_copy_backend({.bytes_per_second = 0}), buddy::config_error);
  CHECK_THROWS_AS(buddy::cuda::sim_copy_backend({.n_marks = 0}), buddy::config_error);
}
