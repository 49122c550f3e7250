// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/testing/archetypes.hpp>

namespace {

using least = buddy::testing::archetypes::transfer;
using buddy::expert_copy;
using buddy::ticket;

// One type for each requirement, missing only that one.
struct no_name {
  ticket submit(expert_copy const&) noexcept { return {}; }
  bool done(ticket) const noexcept { return true; }
  void wait(ticket) noexcept {}
  bool cancel(ticket) noexcept { return false; }
};
struct named : no_name {
  static constexpr std::string_view name = "named";
};
struct cannot_move : least {
  cannot_move() = default;
  cannot_move(cannot_move&&) = delete;
};
struct submit_may_throw : least {
  ticket submit(expert_copy const&) { return {}; }
};
struct done_changes : least {
  bool done(ticket) noexcept { return true; }
};
struct wait_answers : least {
  bool wait(ticket) noexcept { return true; }
};
struct cancel_is_silent : least {
  void cancel(ticket) noexcept {}
};

static_assert(buddy::transfer_engine<named>);
static_assert(!buddy::transfer_engine<no_name>);
static_assert(!buddy::transfer_engine<cannot_move>);
static_assert(!buddy::transfer_engine<submit_may_throw>);
static_assert(!buddy::transfer_engine<done_changes>);
static_assert(!buddy::transfer_engine<wait_answers>);
static_assert(!buddy::transfer_engine<cancel_is_silent>);
static_assert(!buddy::transfer_engine<int>);

}  // namespace

TEST_CASE("the least engine gives each copy a ticket of its own", "[concepts][transfer_engine]") {
  least engine;
  CHECK(engine.submit({}) != engine.submit({}));
}
