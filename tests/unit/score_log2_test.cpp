// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/score_log2.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

TEST_CASE("score_log2_q16 is exact for powers of two", "[unit][score_log2]") {
  for (int e = -126; e <= 127; ++e) CHECK(buddy::score_log2_q16(std::ldexp(1.0F, e)) == e * 65536);
}

TEST_CASE("score_log2_q16 never falls and is within a unit, for every mantissa", "[unit][score_log2]") {
  std::uint32_t falls = 0;
  double worst = 0.0;
  std::int32_t before = -65537;
  for (std::uint32_t bits = std::bit_cast<std::uint32_t>(0.5F); bits <= std::bit_cast<std::uint32_t>(1.0F); ++bits) {
    auto const x = std::bit_cast<float>(bits);
    std::int32_t const now = buddy::score_log2_q16(x);
    falls += now < before ? 1 : 0;
    before = now;
    if (bits % 64 == 0) worst = std::max(worst, std::abs(now - std::log2(static_cast<double>(x)) * 65536.0));
  }
  CHECK(falls == 0);
  CHECK(worst <= 1.0);
}

TEST_CASE("what has no logarithm counts as 2^-127", "[unit][score_log2]") {
  float const nan = std::numeric_limits<float>::quiet_NaN();
  for (float const x : {0.0F, -1.0F, 1e-40F, nan, -std::numeric_limits<float>::infinity()})
    CHECK(buddy::score_log2_q16(x) == -127 * 65536);
  CHECK(buddy::score_log2_q16(buddy::least_score) == -126 * 65536);
}

TEST_CASE("score_q24 rounds down and holds to [0, 1]", "[unit][score_log2]") {
  CHECK(buddy::score_q24(0.5F) == 1U << 23);
  CHECK(buddy::score_q24(1.5F / 16777216.0F) == 1);
  CHECK(buddy::score_q24(2.0F) == 1U << 24);
  CHECK(buddy::score_q24(-1.0F) == 0);
  CHECK(buddy::score_q24(std::numeric_limits<float>::quiet_NaN()) == 0);
}
