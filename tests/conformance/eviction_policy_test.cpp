// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/policies/eviction/lfu_decayed.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/policies/eviction/lru_token.hpp>
#include <buddy/policies/eviction/random.hpp>
#include <buddy/testing/archetypes.hpp>
#include <buddy/testing/eviction_laws.hpp>

#include <string_view>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::lru;
using buddy::testing::broken_eviction_law;

// Every shipped policy is listed here; a new one that is not is a review finding.
TEMPLATE_TEST_CASE("an eviction policy keeps the laws", "[conformance][eviction_policy]", buddy::eviction::lru,
                   buddy::eviction::lru_token, buddy::eviction::lfu_decayed, buddy::eviction::random,
                   buddy::testing::archetypes::eviction) {
  auto const capacity = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{64});
  auto const seed = GENERATE(1U, 2U, 3U);
  CHECK(broken_eviction_law<TestType>(capacity, seed) == "");
}

TEST_CASE("an eviction policy keeps the laws with settings of its own", "[conformance][eviction_policy]") {
  auto const seed = GENERATE(1U, 2U, 3U);
  CHECK(broken_eviction_law([](std::size_t n) { return buddy::eviction::lfu_decayed(n, 0.5); }, 9, seed) == "");
  CHECK(broken_eviction_law([](std::size_t n) { return buddy::eviction::random(n, 42); }, 9, seed) == "");
}

namespace {

// One policy for each law, breaking it.
struct ignores_may_leave : lru {
  using lru::lru;
  template <class MayLeave>
  slot_id victim(MayLeave const&) const noexcept {
    return lru::victim([](slot_id) { return true; });
  }
};

struct never_finds : lru {
  using lru::lru;
  template <class MayLeave>
  slot_id victim(MayLeave const&) const noexcept {
    return buddy::no_slot;
  }
};

struct names_empty_slots : lru {
  using lru::lru;
  template <class MayLeave>
  slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id const v = lru::victim(may_leave);
    return v == buddy::no_slot ? slot_id{0} : v;
  }
};

// Alike to the eye, but each object of it behaves differently.
struct knows_its_number : buddy::eviction::random {
  explicit knows_its_number(std::size_t capacity) : random(capacity, ++made()) {}
  static std::uint64_t& made() {
    static std::uint64_t count = 0;
    return count;
  }
};

struct counts_questions : lru {
  using lru::lru;
  template <class MayLeave>
  slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id const first = lru::victim(may_leave);
    slot_id const second = lru::victim([&](slot_id s) { return s != first && may_leave(s); });
    return ++asked % 2 == 0 && second != buddy::no_slot ? second : first;
  }
  mutable int asked = 0;
};

}  // namespace

TEST_CASE("the eviction laws catch who breaks them", "[conformance][eviction_policy]") {
  std::string_view const names = "victim must name a filled slot that may leave, or no_slot when there is none";
  CHECK(broken_eviction_law<ignores_may_leave>(7, 1) == names);
  CHECK(broken_eviction_law<never_finds>(7, 1) == names);
  CHECK(broken_eviction_law<names_empty_slots>(7, 1) == names);
  CHECK(broken_eviction_law<knows_its_number>(7, 1) == "equal calls in equal order must give equal victims");
  CHECK(broken_eviction_law<counts_questions>(7, 1) == "victim must change nothing");
}
