// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "small_pool.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/eviction/adaptive.hpp>
#include <buddy/policies/eviction/fifo.hpp>
#include <buddy/policies/eviction/lfu.hpp>
#include <buddy/policies/eviction/lru.hpp>

#include <cstdint>

namespace {

using buddy::eviction::adaptive_reason;
using lru_or_fifo = buddy::eviction::adaptive<buddy::eviction::fifo, buddy::eviction::lru>;

constexpr buddy::expert_key key(std::uint16_t e) { return {0, e}; }

constexpr std::uint16_t asked[]{0, 1, 0, 2, 0, 3, 0};

/// Keeps the policy in reach, as a cache that owns it does.
struct lent {
  lru_or_fifo* policy;
  void on_step(buddy::step_clock const& now) noexcept { policy->on_step(now); }
  void on_insert(buddy::slot_id s, buddy::expert_key k) noexcept { policy->on_insert(s, k); }
  void on_hit(buddy::slot_id s) noexcept { policy->on_hit(s); }
  void on_erase(buddy::slot_id s) noexcept { policy->on_erase(s); }
  template <class MayLeave>
  [[nodiscard]] buddy::slot_id victim(MayLeave const& may_leave) const noexcept {
    return policy->victim(may_leave);
  }
};

}  // namespace

TEST_CASE("adaptive puts in charge who would have hit more", "[golden][adaptive]") {
  // Two slots, one expert a step: 0 1 0 2 0 3 0. lru keeps 0: it hits at steps 3, 5, 7. fifo gives 0 up for 2 at step
  // 4, brings it back at step 5 (for 1), gives 2 up for 3 and still has 0 at step 7: hits at steps 3 and 7.
  lru_or_fifo policy(2, {.window = 16, .margin_percent = 10});
  small_pool<lent> pool(2, lent{&policy});
  CHECK(policy.report().why == adaptive_reason::first);
  CHECK_FALSE(policy.reconsider());  // nothing to compare
  std::uint64_t step = 0;
  int hits = 0;
  for (std::uint16_t const e : asked) hits += pool.ask({++step, 0, 1}, {key(e)});
  CHECK(hits == 2);
  CHECK(policy.reconsider());
  auto const& report = policy.report();
  CHECK(report.accesses == 7);
  CHECK(report.hits == std::array<std::uint64_t, 2>{2, 3});  // 3 - 2 = 1 of 7 accesses is more than 10 %
  CHECK(report.names[report.chosen] == "lru");
  CHECK(report.why == adaptive_reason::switched);
  CHECK(report.switches == 1);
  // Residents are 3 and 0, filled in that order before the switch; 0 was used last, so lru gives up 3.
  CHECK(pool.next() == key(3));
  // From now on it is lru that decides: 4 takes the place of 3, and 0 stays.
  CHECK(pool.ask({++step, 0, 1}, {key(4)}) == 0);
  CHECK(pool.holds(key(0)));
}

TEST_CASE("adaptive stays with who is in charge while nobody is better by the margin", "[golden][adaptive]") {
  // As above: one hit of seven accesses is 14.3 %.
  for (std::uint32_t const margin : {14U, 15U}) {
    lru_or_fifo policy(2, {.window = 16, .margin_percent = margin});
    small_pool<lent> pool(2, lent{&policy});
    std::uint64_t step = 0;
    for (std::uint16_t const e : asked) pool.ask({++step, 0, 1}, {key(e)});
    CHECK(policy.reconsider() == (margin == 14));
    CHECK(policy.report().why == (margin == 14 ? adaptive_reason::switched : adaptive_reason::within_margin));
    // Older hits count half: 7 -> 3 accesses, 2 -> 1 and 3 -> 1 hits; then one access more, which both hit.
    pool.ask({++step, 0, 1}, {key(0)});
    CHECK_FALSE(policy.reconsider());
    CHECK(policy.report().accesses == 4);
    CHECK(policy.report().hits == std::array<std::uint64_t, 2>{2, 2});
    CHECK(policy.report().why == adaptive_reason::best);
  }
}

TEST_CASE("adaptive refuses settings that cannot be", "[golden][adaptive]") {
  CHECK_THROWS_AS(lru_or_fifo(2, {.window = 0}), buddy::config_error);
  CHECK_THROWS_AS(lru_or_fifo(2, {.margin_percent = 101}), buddy::config_error);
}
