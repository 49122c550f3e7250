// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/audit_sampler.hpp>
#include <buddy/drift_detector.hpp>
#include <buddy/loss_estimate.hpp>
#include <buddy/testing/dice.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

TEST_CASE("one point is drawn in each stratum", "[golden][audit_sampler]") {
  // 1000 items of size 7 are 7000: 70 whole strata of 100, so 70 choices; another seed chooses others.
  std::vector<int> chosen[2];
  for (std::uint64_t const seed : {1U, 2U}) {
    buddy::audit_sampler sampler(100, seed);
    for (int i = 0; i != 1000; ++i)
      for (std::uint32_t n = sampler.choose(7); n != 0; --n) chosen[seed - 1].push_back(i);
    CHECK(chosen[seed - 1].size() == 70);
  }
  CHECK(chosen[0] != chosen[1]);
}

TEST_CASE("an item of several strata is chosen as often as it has whole ones", "[golden][audit_sampler]") {
  buddy::audit_sampler sampler(100, 3);
  CHECK(sampler.choose(500) == 5);  // strata 0 to 4, from edge to edge
  CHECK(sampler.choose(0) == 0);
}

TEST_CASE("sums by inverse chance are unbiased", "[golden][audit_sampler]") {
  // Values that have little to do with sizes: over 400 seeds the mean of the estimates is the sum, within 4 standard
  // errors of that mean.
  buddy::testing::dice random(4);
  std::vector<std::uint32_t> sizes, values;
  double sum = 0;
  for (int i = 0; i != 500; ++i) {
    sizes.push_back(1 + random.roll(50));
    values.push_back(random.roll(100));
    sum += values.back();
  }
  double mean = 0, squares = 0;
  for (std::uint64_t seed = 0; seed != 400; ++seed) {
    buddy::audit_sampler sampler(300, buddy::splitmix64(seed));
    double estimate = 0;
    for (std::size_t i = 0; i != sizes.size(); ++i) estimate += sampler.choose(sizes[i]) * 300.0 * values[i] / sizes[i];
    // The last stratum is not whole: what lies in it is chosen with the chance it has.
    mean += estimate / 400;
    squares += estimate * estimate / 400;
  }
  double const error = std::sqrt((squares - mean * mean) / 400);
  CHECK(std::abs(mean - sum) < 4 * error);
  CHECK(error < sum / 50);
}

TEST_CASE("an estimate is the audits' sum over the tokens they stand for", "[golden][loss_estimate]") {
  // Strata of 1000 ub; three audits at tokens 10, 20, 40 that lost 1, 2 and 3 times their size. At token 49 they stand
  // for tokens 10 to 49: 6 x 1000 / 40 = 150 a token. Squares about the mean 2: 1 + 0 + 1; x 3/2 = 3, root 1.732:
  // 43.3 a token.
  buddy::audit_memory memory(4);
  memory.push(buddy::q16_one, 10);
  memory.push(2 * buddy::q16_one, 20);
  memory.push(3 * buddy::q16_one, 40);
  auto const e = memory.estimate(1000, 49);
  CHECK(e.mean_ub == 150);
  CHECK(e.error_ub == 43);
  CHECK(e.n_audits == 3);
  CHECK(e.n_tokens == 40);
  CHECK(e.low_ub(2 * buddy::q16_one) == 64);
  CHECK(e.high_ub(2 * buddy::q16_one) == 236);
}

TEST_CASE("the memory forgets the oldest, and counts from it", "[golden][loss_estimate]") {
  buddy::audit_memory memory(2);
  memory.push(100 * buddy::q16_one, 1);
  memory.push(buddy::q16_one, 5);
  memory.push(buddy::q16_one, 9);  // the first goes; its token stays the beginning
  auto const e = memory.estimate(1000, 11);
  CHECK(e.n_audits == 2);
  CHECK(e.mean_ub == 2000 / 11);
  memory.clear();
  CHECK(memory.estimate(1000, 11).n_audits == 0);
}

TEST_CASE("drift is noticed when ratios stay high or low, not for one outlier", "[golden][drift_detector]") {
  buddy::drift_detector up;
  CHECK_FALSE(up.notice(1000 * buddy::q16_one));                         // counts as 4: 2.75 above
  for (int i = 0; i != 11; ++i) CHECK_FALSE(up.notice(buddy::q16_one));  // and is forgotten, a quarter each
  // Twice what is expected is 0.75 above each time: 11 of them make 8.25.
  for (int i = 0; i != 10; ++i) CHECK_FALSE(up.notice(2 * buddy::q16_one));
  CHECK(up.notice(2 * buddy::q16_one));
  // A quarter is 0.5 below: 16 of them make 8.
  buddy::drift_detector down;
  for (int i = 0; i != 15; ++i) CHECK_FALSE(down.notice(buddy::q16_one / 4));
  CHECK(down.notice(buddy::q16_one / 4));
}
