// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/fixed_point.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

using buddy::exp2_q16;
using buddy::log2_q16;
using buddy::q16;

namespace {

constexpr double one = 65536.0;

double log2_error(q16 x) { return std::abs(log2_q16(x) - one * std::log2(x / one)); }

}  // namespace

TEST_CASE("log2_q16 is within .6 units", "[unit][fixed_point]") {
  // rounding gives .5, the polynomial's 1.4e-6 another .09
  double worst = 0.0;
  for (q16 x = 1; x != 4 * buddy::q16_one; ++x) worst = std::max(worst, log2_error(x));
  for (std::uint64_t x = 4 * buddy::q16_one; x < std::uint64_t{1} << 32; x += 65521)  // a prime: all mantissas
    worst = std::max(worst, log2_error(static_cast<q16>(x)));
  CHECK(worst < 0.6);
  CHECK(log2_error(0xffff'ffffU) < 0.6);
}

TEST_CASE("exp2_q16 is within .52 units", "[unit][fixed_point]") {
  double worst = 0.0;
  for (std::int32_t x = 0; x != -20 * 65536; --x)
    worst = std::max(worst, std::abs(exp2_q16(x) - one * std::exp2(x / one)));
  CHECK(worst < 0.52);
}

TEST_CASE("log2_q16 and exp2_q16 never go down", "[unit][fixed_point]") {
  bool rising = true;
  for (q16 x = 2; x != 4 * buddy::q16_one; ++x) rising = rising && log2_q16(x) >= log2_q16(x - 1);
  for (std::int32_t x = 0; x != -20 * 65536; --x) rising = rising && exp2_q16(x) >= exp2_q16(x - 1);
  CHECK(rising);
}

TEST_CASE("log2_q16 and exp2_q16 are exact at powers of two", "[unit][fixed_point]") {
  for (std::int32_t n = 0; n != 32; ++n) CHECK(log2_q16(q16{1} << n) == (n - 16) * 65536);
  for (std::int32_t n = 0; n != 17; ++n) CHECK(exp2_q16(-n * 65536) == buddy::q16_one >> n);
  CHECK(exp2_q16(-17 * 65536) == 1);  // half a unit rounds up
  CHECK(exp2_q16(-18 * 65536) == 0);
}

TEST_CASE("to_q16 rounds to the nearest unit", "[unit][fixed_point]") {
  // .95 * 65536 = 62259.2; 1/6 * 65536 = 10922.67; half a unit rounds up
  CHECK(buddy::to_q16(0.95) == 62259);
  CHECK(buddy::to_q16(1.0F / 6.0F) == 10923);
  CHECK(buddy::to_q16(0.5 / 65536.0) == 1);
  CHECK(buddy::to_q16(1.0F) == buddy::q16_one);
  CHECK(buddy::to_q16(0.0F) == 0);
}
