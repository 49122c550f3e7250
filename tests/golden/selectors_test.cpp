// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/policies/selection/live_score.hpp>
#include <buddy/policies/selection/none.hpp>
#include <buddy/policies/selection/random_resident.hpp>
#include <buddy/policies/selection/zero_fill.hpp>

#include <array>
#include <limits>
#include <vector>

using buddy::stand_in;

namespace {

/// A layer of 8 experts; a token routed to experts 0 and 1, of which 0 is missing.
struct layer {
  explicit layer(std::vector<std::uint32_t> const& resident) {
    slot_of.fill(buddy::no_slot);
    for (auto const e : resident) slot_of[e] = buddy::slot_id{e};
    for (auto const e : experts) taken.insert(e);
  }

  template <class S>
  [[nodiscard]] stand_in ask(S const& selector, std::uint64_t number = 0, std::uint32_t s = 0) const {
    buddy::token_view token{3, number, {experts.data(), 2}, {}, {}};
    token.scores = {scores.data(), static_cast<std::uint32_t>(scores.size())};
    return selector.select(token, {slot_of.data(), 8}, taken, s);
  }

  std::array<std::uint16_t, 2> experts{0, 1};
  std::array<buddy::slot_id, 8> slot_of{};
  std::vector<float> scores;
  buddy::expert_set taken{8};
};

}  // namespace

TEST_CASE("live_score takes the resident expert the router liked best", "[golden][live_score]") {
  layer l({1, 3, 4, 6});
  l.scores = {.3F, .2F, .15F, .05F, .1F, .12F, .08F, 0};
  // 1 is routed, 2 and 5 are not resident: 4 (.1) before 6 (.08) and 3 (.05); rank 2, for 2 and 5 were preferred
  stand_in found = l.ask(buddy::selection::live_score{});
  CHECK(found.found);
  CHECK(found.how == buddy::resolution::buddy);
  CHECK(found.expert == 4);
  CHECK(found.rank == 2);
  l.taken.insert(4);
  found = l.ask(buddy::selection::live_score{});
  CHECK(found.expert == 6);
  CHECK(found.rank == 2);
}

TEST_CASE("live_score breaks ties by the lower id", "[golden][live_score]") {
  layer l({3, 5, 6});
  l.scores = {.3F, .2F, .1F, .05F, .1F, .1F, .1F, .1F};
  // 5 and 6 tie at .1; before 5 come 2 and 4, before 6 also 5
  CHECK(l.ask(buddy::selection::live_score{}).expert == 5);
  CHECK(l.ask(buddy::selection::live_score{}).rank == 2);
  l.scores.assign(8, 0);  // all equal, and 0 is a score
  CHECK(l.ask(buddy::selection::live_score{}).found);
  CHECK(l.ask(buddy::selection::live_score{}).expert == 3);
}

TEST_CASE("live_score finds nothing without scores or candidates", "[golden][live_score]") {
  CHECK_FALSE(layer({3, 5}).ask(buddy::selection::live_score{}).found);  // scores hidden
  layer only_routed({1});
  only_routed.scores.assign(8, .5F);
  CHECK_FALSE(only_routed.ask(buddy::selection::live_score{}).found);
  layer broken_router({3});
  broken_router.scores.assign(8, std::numeric_limits<float>::quiet_NaN());
  CHECK_FALSE(broken_router.ask(buddy::selection::live_score{}).found);
}

TEST_CASE("random_resident chooses every candidate equally often", "[golden][random_resident]") {
  // candidates 2, 3, 5, 7: 8000 draws, 2000 each, standard deviation sqrt(8000 * 1/4 * 3/4) = 38.7; five are 194
  layer const l({1, 2, 3, 5, 7});
  std::array<int, 8> counts{};
  for (std::uint64_t number = 0; number != 8000; ++number) {
    stand_in const found = l.ask(buddy::selection::random_resident{}, number);
    REQUIRE(found.found);
    ++counts[found.expert];
  }
  CHECK(counts[0] + counts[1] + counts[4] + counts[6] == 0);
  for (int const e : {2, 3, 5, 7}) {
    CHECK(counts[static_cast<std::size_t>(e)] > 2000 - 194);
    CHECK(counts[static_cast<std::size_t>(e)] < 2000 + 194);
  }
}

TEST_CASE("random_resident draws anew for each token, slot and seed", "[golden][random_resident]") {
  // Of two independent draws among 4 candidates 1/4 agree: of 1000 250, standard deviation sqrt(1000 * 3/16) = 13.7
  layer const l({1, 2, 3, 5, 7});
  buddy::selection::random_resident const one{1};
  int next_token = 0, next_slot = 0, next_seed = 0;
  for (std::uint64_t number = 0; number != 1000; ++number) {
    auto const expert = l.ask(one, number).expert;
    CHECK(l.ask(one, number).expert == expert);
    next_token += l.ask(one, number + 1000).expert == expert ? 1 : 0;
    next_slot += l.ask(one, number, 1).expert == expert ? 1 : 0;
    next_seed += l.ask(buddy::selection::random_resident{2}, number).expert == expert ? 1 : 0;
  }
  for (int const same : {next_token, next_slot, next_seed}) {
    CHECK(same > 181);
    CHECK(same < 319);
  }
}

TEST_CASE("random_resident finds nothing where nothing may serve", "[golden][random_resident]") {
  CHECK_FALSE(layer({}).ask(buddy::selection::random_resident{}).found);
  CHECK_FALSE(layer({1}).ask(buddy::selection::random_resident{}).found);  // resident, but routed already
}

TEST_CASE("none finds nothing and zero_fill leaves out", "[golden][selection]") {
  layer const l({1, 2, 3});
  CHECK_FALSE(l.ask(buddy::selection::none{}).found);
  CHECK(l.ask(buddy::selection::zero_fill{}).found);
  CHECK(l.ask(buddy::selection::zero_fill{}).how == buddy::resolution::drop);
}
