// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/splitmix64.hpp>

TEST_CASE("splitmix64 gives the published sequence", "[unit][splitmix64]") {
  // the first outputs of SplitMix64 seeded with 0; its state grows by 0x9e3779b97f4a7c15 a step
  CHECK(buddy::splitmix64(0) == 0xe220'a839'7b1d'cdafU);
  CHECK(buddy::splitmix64(0x9e37'79b9'7f4a'7c15U) == 0x6e78'9e6a'a1b9'65f4U);
  CHECK(buddy::splitmix64(2 * 0x9e37'79b9'7f4a'7c15U) == 0x06c4'5d18'8009'454fU);
}

TEST_CASE("below maps 64 bits onto a range", "[unit][splitmix64]") {
  CHECK(buddy::below(0, 10) == 0);
  CHECK(buddy::below(~std::uint64_t{0}, 10) == 9);
  CHECK(buddy::below(std::uint64_t{1} << 63, 10) == 5);  // half of 10
  CHECK(buddy::below(~std::uint64_t{0}, 1) == 0);
}
