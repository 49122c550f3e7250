// SPDX-License-Identifier: Apache-2.0
// The scans in blocks and in vectors are the plain scan: same expert, same rank, for any scores, sizes and sets.
#include "catch.hpp"

#include <buddy/expert_set.hpp>
#include <buddy/policies/selection/score_scan.hpp>
#include <buddy/policies/selection/score_scan_avx2.hpp>
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

/// One layer: sometimes nobody is resident, sometimes all scores are equal, or none is a number.
struct layer_of_scores {
  std::vector<float> scores;
  std::vector<buddy::slot_id> slots;
  buddy::expert_set taken;

  layer_of_scores(std::uint32_t n, dice& roll) : scores(n), slots(n, buddy::no_slot), taken(n) {
    std::uint32_t const residents = roll(5);
    std::uint32_t const kind = roll(16);
    for (std::uint32_t e = 0; e != n; ++e) {
      scores[e] = draw_score(roll);
      if (kind < 2) scores[e] = kind == 0 ? 0.25F : std::numeric_limits<float>::quiet_NaN();
      if (roll(4) < residents) slots[e] = buddy::slot_id{e};
      if (roll(10) == 0) taken.insert(e);
    }
  }

  template <class Scan>
  buddy::stand_in ask(Scan scan) const {
    auto const n = static_cast<std::uint32_t>(scores.size());
    return scan({scores.data(), n}, {slots.data(), n}, taken);
  }
};

void require_same(buddy::stand_in const& a, buddy::stand_in const& b) {
  REQUIRE(a.found == b.found);
  REQUIRE(a.how == b.how);
  REQUIRE(a.expert == b.expert);
  REQUIRE(a.rank == b.rank);
}

/// Compares a scan with the plain one for every number of experts that a layer may have.
template <class Scan>
void compare(Scan scan, std::uint64_t seed) {
  dice roll{seed << 32};
  for (std::uint32_t n = 0; n <= buddy::max_experts; ++n) {
    for (int round = 0; round != 4; ++round) {
      layer_of_scores const layer(n, roll);
      INFO(n << " experts, round " << round);
      require_same(layer.ask(scan), layer.ask(buddy::selection::detail::select_by_score));
    }
  }
}

}  // namespace

TEST_CASE("the scan in blocks answers as the plain scan does", "[property][live_score]") {
  compare(buddy::selection::detail::select_by_score_in_blocks, GENERATE(1ULL, 2ULL, 3ULL));
}

#if defined(BUDDY_AVX2)
TEST_CASE("the scan with AVX2 answers as the plain scan does", "[property][live_score]") {
  if (!__builtin_cpu_supports("avx2")) return;
  compare(buddy::selection::detail::select_by_score_avx2, GENERATE(1ULL, 2ULL, 3ULL));
}
#endif
