// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/sim_copy_backend.hpp>
#include <buddy/policies/transfer/immediate.hpp>
#include <buddy/policies/transfer/sim_link.hpp>
#include <buddy/testing/archetypes.hpp>
#include <buddy/testing/transfer_laws.hpp>

#include <cstdint>
#include <map>

using buddy::expert_copy;
using buddy::ticket;
using buddy::testing::broken_transfer_law;
using buddy::transfer::sim_link;

namespace {

constexpr expert_copy copies[] = {{{0, 1}, buddy::slot_id{0}, 3000, buddy::copy_reason::demand},
                                  {{0, 2}, buddy::slot_id{1}, 500, buddy::copy_reason::prefetch},
                                  {{1, 3}, buddy::slot_id{2}, 0, buddy::copy_reason::refill}};

struct run_clock {
  void operator()(sim_link& link, std::uint32_t random) const noexcept {
    link.advance_to(link.now_ns() + random % 5000);
  }
};

}  // namespace

// Every shipped engine is listed here or below; a new one that is not is a review finding.
TEMPLATE_TEST_CASE("a transfer engine keeps the laws", "[conformance][transfer_engine]", buddy::transfer::immediate,
                   buddy::testing::archetypes::transfer) {
  CHECK(broken_transfer_law([] { return TestType(); }, {copies, 3}, GENERATE(1U, 2U, 3U)) == "");
}

TEST_CASE("sim_link keeps the laws", "[conformance][transfer_engine]") {
  auto const latency = GENERATE(0U, 700U);
  auto const limit = GENERATE(1U, 2U, 5U);
  auto const capacity = GENERATE(1U, 4U, 64U);
  auto const seed = GENERATE(1U, 2U, 3U);
  auto const make = [&] { return sim_link({latency, 1'000'000'000, limit, capacity}); };
  CHECK(broken_transfer_law(make, {copies, 3}, seed, 2000, run_clock{}) == "");
}

TEST_CASE("copy_engine keeps the laws over a modelled link", "[conformance][transfer_engine]") {
  using engine = buddy::cuda::copy_engine<buddy::cuda::sim_copy_backend>;
  static_assert(buddy::transfer_engine<engine>);
  auto const latency = GENERATE(0U, 700U);
  auto const limit = GENERATE(1U, 2U, 5U);
  auto const capacity = GENERATE(1U, 64U);
  auto const background_bytes = GENERATE(5U, 600U, 100'000U);
  auto const batch_below = GENERATE(0U, 1000U);
  auto const make = [&] {
    return engine(buddy::cuda::sim_copy_backend({latency, 1'000'000'000, limit, 2048}),
                  {background_bytes, batch_below, 4, limit, capacity});
  };
  auto const tick = [](engine& e, std::uint32_t random) {
    e.backend().advance_to(e.backend().now_ns() + random % 5000);
    if (random % 3 == 0) e.poll();
  };
  CHECK(broken_transfer_law(make, {copies, 3}, 1, 2000, tick) == "");
}

namespace {

// One engine for each law, breaking it. Each starts from a link that keeps them.
struct honest : sim_link {
  honest() : sim_link({700, 1'000'000'000, 1, 64}) {}
};

struct lets_some_overtake : honest {
  static bool overtakes(ticket t) { return static_cast<std::uint64_t>(t) % 8 == 7 && t != buddy::no_ticket; }
  bool done(ticket t) const noexcept { return overtakes(t) || honest::done(t); }
  bool cancel(ticket t) noexcept { return !overtakes(t) && honest::cancel(t); }
};

struct forgets : honest {
  bool done(ticket t) const noexcept { return honest::done(t) && static_cast<std::uint64_t>(t) + 20 > newest; }
  ticket submit(expert_copy const& c) noexcept {
    ticket const t = honest::submit(c);
    if (t != buddy::no_ticket) newest = static_cast<std::uint64_t>(t);
    return t;
  }
  std::uint64_t newest = 0;
};

struct does_not_wait : honest {
  void wait(ticket) noexcept {}
};

struct cancels_in_word_only : honest {
  bool cancel(ticket t) noexcept { return t != buddy::no_ticket && !done(t) && said.emplace(t, true).second; }
  std::map<ticket, bool> said;
};

struct cancels_what_is_done : honest {
  bool cancel(ticket t) noexcept { return (t != buddy::no_ticket && done(t)) || honest::cancel(t); }
};

struct cancels_what_never_was : honest {
  bool cancel(ticket t) noexcept { return t == buddy::no_ticket || honest::cancel(t); }
};

template <class Engine>
std::string_view broken_law() {
  return broken_transfer_law([] { return Engine(); }, {copies, 3}, 1, 2000, run_clock{});
}

}  // namespace

TEST_CASE("the transfer laws catch who breaks them", "[conformance][transfer_engine]") {
  CHECK(broken_law<honest>() == "");
  CHECK(broken_law<lets_some_overtake>() == "copies must complete in the order of submission");
  CHECK(broken_law<forgets>() == "done must stay true once it was");
  CHECK(broken_law<does_not_wait>() == "a copy must be done after wait");
  CHECK(broken_law<cancels_in_word_only>() == "a cancelled copy must never complete");
  CHECK(broken_law<cancels_what_is_done>() == "cancel of a copy that is done or cancelled must be false");
  CHECK(broken_law<cancels_what_never_was>() == "cancel of an unknown copy must be false");
}
