// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/testing/archetypes.hpp>

#include <vector>

namespace {

using least = buddy::testing::archetypes::sensitivity;
using buddy::slot_mask;
using buddy::token_view;

// One type for each requirement, missing only that one.
struct no_name {
  constexpr slot_mask replaceable(token_view const&) const noexcept { return 0; }
};
struct named : no_name {
  static constexpr std::string_view name = "named";
};
struct owns_memory : least {
  std::vector<buddy::q16> tau;  // cannot go to the device
};
struct answers_for_the_token : least {
  constexpr bool replaceable(token_view const&) const noexcept { return true; }
};
struct may_throw : least {
  constexpr slot_mask replaceable(token_view const&) const { return 0; }
};
struct changes : least {
  constexpr slot_mask replaceable(token_view const&) noexcept { return 0; }
};

static_assert(buddy::sensitivity_estimator<named>);
static_assert(!buddy::sensitivity_estimator<no_name>);
static_assert(!buddy::sensitivity_estimator<owns_memory>);
static_assert(!buddy::sensitivity_estimator<answers_for_the_token>);
static_assert(!buddy::sensitivity_estimator<may_throw>);
static_assert(!buddy::sensitivity_estimator<changes>);
static_assert(!buddy::sensitivity_estimator<int>);

}  // namespace

TEST_CASE("the least estimator bears a stand-in in every slot", "[concepts][sensitivity_estimator]") {
  buddy::q16 const shares[]{0x8000, 0x8000};
  token_view token;
  token.shares = {shares, 2};
  CHECK(least{}.replaceable(token) == 0b11);
}
