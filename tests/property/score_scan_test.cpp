// SPDX-License-Identifier: Apache-2.0
// The scan in blocks is the plain scan: same expert, same rank, for any scores, sizes and sets.
#include "catch.hpp"

#include <buddy/expert_set.hpp>
#include <buddy/policies/selection/score_scan.hpp>
#include <buddy/splitmix64.hpp>

#include <cstdint>
#include <limits>
#include <vector>

namespace {

struct dice {
  std::uint64_t state;
  std::uint32_t operator()(std::uint32_t n) noexcept { return buddy::below(buddy::splitmix64(++state), n); }
};

/// Ties, both zeros, infinities and what is not a number, among ordinary scores.
float draw_score(dice& roll) {
  constexpr float odd[] = {0.0F,
                           -0.0F,
                           0.5F,
                           -0.5F,
                           std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity(),
                           std::numeric_limits<float>::quiet_NaN()};
  return roll(4) == 0 ? odd[roll(7)] : static_cast<float>(roll(1000)) / 1000.0F;
}

}  // namespace

TEST_CASE("the scan in blocks answers as the plain scan does", "[property][live_score]") {
  dice roll{GENERATE(1ULL, 2ULL, 3ULL) << 32};
  for (int round = 0; round != 2000; ++round) {
    std::uint32_t const n = 1 + roll(300);
    std::vector<float> scores(n);
    std::vector<buddy::slot_id> slot_of(n, buddy::no_slot);
    buddy::expert_set taken(n);
    for (std::uint32_t e = 0; e != n; ++e) {
      scores[e] = draw_score(roll);
      if (roll(2) == 0) slot_of[e] = buddy::slot_id{e};
      if (roll(10) == 0) taken.insert(e);
    }
    auto const plain = buddy::selection::detail::select_by_score({scores.data(), n}, {slot_of.data(), n}, taken);
    auto const blocks =
        buddy::selection::detail::select_by_score_in_blocks({scores.data(), n}, {slot_of.data(), n}, taken);
    INFO("round " << round << ", " << n << " experts");
    REQUIRE(plain.found == blocks.found);
    REQUIRE(plain.expert == blocks.expert);
    REQUIRE(plain.rank == blocks.rank);
  }
}
