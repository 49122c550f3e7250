// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/expected_error.hpp>

#include <cstdint>
#include <random>

TEST_CASE("the loss of a slot is exact to the unit, and never rises when loss or share falls",
          "[property][expected_error]") {
  std::mt19937_64 random{71};
  for (int i = 0; i != 20000; ++i) {
    auto const full = static_cast<std::uint32_t>(random() >> (32 + random() % 32));
    auto const share = static_cast<buddy::q16>(random() % (buddy::q16_one + 1));
    auto const got = buddy::loss_ub(full, share);
    // full < 2^32 and share <= 2^16: the product has 64 bits at most, which the extended type holds.
    auto const product = static_cast<long double>(full) * share * share;
    CHECK(static_cast<long double>(got) * 4294967296.0L >= product);
    if (got != 0) CHECK(static_cast<long double>(got - 1) * 4294967296.0L < product);
    CHECK(got <= full);
    if (share != 0) CHECK(buddy::loss_ub(full, share - 1) <= got);
    if (full != 0) CHECK(buddy::loss_ub(full - 1, share) <= got);
  }
}
