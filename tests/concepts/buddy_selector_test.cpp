// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/resolver.hpp>
#include <buddy/testing/archetypes.hpp>

#include <vector>

namespace {

using least = buddy::testing::archetypes::selector;
using buddy::expert_set;
using buddy::slot_id;
using buddy::stand_in;
using buddy::token_view;
using slots = buddy::view<slot_id const>;

// One type for each requirement, missing only that one.
struct no_name {
  constexpr stand_in select(token_view const&, slots, expert_set const&, std::uint32_t) const noexcept { return {}; }
};
struct named : no_name {
  static constexpr std::string_view name = "named";
};
struct owns_memory : least {
  std::vector<int> table;  // cannot go to the device
};
struct answers_with_an_id : least {
  constexpr int select(token_view const&, slots, expert_set const&, std::uint32_t) const noexcept { return 0; }
};
struct may_throw : least {
  constexpr stand_in select(token_view const&, slots, expert_set const&, std::uint32_t) const { return {}; }
};
struct ignores_what_is_taken : least {
  constexpr stand_in select(token_view const&, slots, std::uint32_t) const noexcept { return {}; }
};

static_assert(buddy::buddy_selector<named>);
static_assert(!buddy::buddy_selector<no_name>);
static_assert(!buddy::buddy_selector<owns_memory>);
static_assert(!buddy::buddy_selector<answers_with_an_id>);
static_assert(!buddy::buddy_selector<may_throw>);
static_assert(!buddy::buddy_selector<ignores_what_is_taken>);
static_assert(!buddy::buddy_selector<int>);

}  // namespace

TEST_CASE("resolve_row asks for no more than the concepts", "[concepts][buddy_selector]") {
  std::uint16_t const experts[]{0};
  buddy::q16 const shares[]{buddy::q16_one};
  slot_id const slot_of[]{buddy::no_slot};
  buddy::slot_outcome out[1];
  auto const given = buddy::resolve_row({0, 0, {experts, 1}, {shares, 1}, {}}, {slot_of, 1}, {},
                                        buddy::testing::archetypes::sensitivity{}, least{}, {out, 1});
  CHECK(given == 0);
  CHECK(out[0].why == buddy::refusal::no_stand_in);
}
