// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/expert_set.hpp>

#include <cstdint>

TEST_CASE("expert_set is empty at first, up to the last expert it was made for", "[unit][expert_set]") {
  std::uint32_t const n = GENERATE(1U, 63U, 64U, 65U, 1024U);  // around the edges of the 64-bit words, and the limit
  buddy::expert_set const set(n);
  for (std::uint32_t e = 0; e != n; ++e) CHECK_FALSE(set.contains(e));
}

TEST_CASE("expert_set holds what was put in and nothing else", "[unit][expert_set]") {
  buddy::expert_set set(buddy::max_experts);
  for (std::uint32_t const e : {0U, 63U, 64U, 1023U}) set.insert(e);
  std::uint32_t held = 0;
  for (std::uint32_t e = 0; e != buddy::max_experts; ++e) held += set.contains(e) ? 1 : 0;
  CHECK(held == 4);
  for (std::uint32_t const e : {0U, 63U, 64U, 1023U}) CHECK(set.contains(e));
}

TEST_CASE("expert_set works in constant expressions", "[unit][expert_set]") {
  constexpr bool both = [] {
    buddy::expert_set set(64);
    set.insert(7);
    return set.contains(7) && !set.contains(6);
  }();
  STATIC_REQUIRE(both);
}
