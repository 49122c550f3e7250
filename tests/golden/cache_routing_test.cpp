// SPDX-License-Identifier: Apache-2.0
// The selectors that stand for a router which prefers residents.
#include "catch.hpp"
#include "golden/tiny_models.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/selection/cache_prior.hpp>
#include <buddy/policies/selection/precision_by_mass.hpp>
#include <buddy/policies/selection/rank_window.hpp>
#include <buddy/resolver.hpp>

#include <array>
#include <vector>

using buddy::stand_in;
using buddy::selection::cache_prior;
using buddy::selection::precision_by_mass;
using buddy::selection::rank_window;

namespace {

/// A layer of 8 experts; a token routed to 0 and 1, of which 0 is missing.
struct layer {
  explicit layer(std::vector<std::uint32_t> const& resident) {
    slot_of.fill(buddy::no_slot);
    for (auto const e : resident) slot_of[e] = buddy::slot_id{e};
    for (auto const e : experts) taken.insert(e);
  }

  template <class S>
  [[nodiscard]] stand_in ask(S const& selector) const {
    buddy::token_view const token{0, 0, {experts.data(), 2}, {shares.data(), 2}, {scores.data(), 8}};
    return selector.select(token, {slot_of.data(), 8}, taken, 0);
  }

  std::array<std::uint16_t, 2> experts{0, 1};
  std::array<buddy::q16, 2> shares{43690, 21845};
  std::array<buddy::slot_id, 8> slot_of{};
  // log2: -1 -2 -3 -5 -4 -6 -7 -9
  std::array<float, 8> scores{1 / 2.F, 1 / 4.F, 1 / 8.F, 1 / 32.F, 1 / 16.F, 1 / 64.F, 1 / 128.F, 1 / 512.F};
  buddy::expert_set taken{8};
};

}  // namespace

TEST_CASE("cache_prior replaces what the bonus beats", "[golden][cache_prior]") {
  // Delta = -1 - -9 = 8. The best unselected resident is 4, z = -4; the missing one has z = -1: the bonus must be
  // above 3, lambda above 3/8.
  layer const l({1, 3, 4});
  CHECK_FALSE(l.ask(cache_prior::fixed(0.375)).found);  // a tie keeps the router's choice
  stand_in const found = l.ask(cache_prior{buddy::to_q16(0.375) + 1});
  CHECK(found.found);
  CHECK(found.how == buddy::resolution::buddy);
  CHECK(found.expert == 4);
  CHECK(found.rank == 1);  // 2 is liked better and not resident
  CHECK(found.scale_q16 == buddy::q16_one);
}

TEST_CASE("cache_prior leaves scores of 0 out of the range", "[golden][cache_prior]") {
  layer l({1, 4});
  l.scores[7] = 0.0F;  // Delta = -1 - -7 = 6: lambda must be above 1/2
  CHECK_FALSE(l.ask(cache_prior::fixed(0.5)).found);
  CHECK(l.ask(cache_prior::fixed(0.51)).found);
}

TEST_CASE("cache_prior finds nothing without scores, and refuses a negative lambda", "[golden][cache_prior]") {
  layer const l({1, 4});
  buddy::token_view const hidden{0, 0, {l.experts.data(), 2}, {l.shares.data(), 2}, {}};
  CHECK_FALSE(cache_prior::fixed(16.0).select(hidden, {l.slot_of.data(), 8}, l.taken, 0).found);
  CHECK_THROWS_AS(cache_prior::fixed(-0.1), buddy::config_error);
}

TEST_CASE("rank_window counts every expert ranked before", "[golden][rank_window]") {
  // Falling score: 0 1 2 4 3 5 6 7. Expert 3 is of true rank 4: inside a window of 5, outside one of 4.
  layer const l({1, 3, 5});
  CHECK_FALSE(l.ask(rank_window::fixed(4)).found);
  stand_in const found = l.ask(rank_window::fixed(5, 0.5));
  CHECK(found.found);
  CHECK(found.expert == 3);
  CHECK(found.scale_q16 == buddy::q16_one / 2);
}

TEST_CASE("rank_window ranks equal scores by id", "[golden][rank_window]") {
  layer l({1, 5});
  l.scores = {.5F, .25F, .05F, .05F, .05F, .05F, .05F, 0};
  CHECK_FALSE(l.ask(rank_window::fixed(5)).found);  // 0, 1, 2, 3, 4 come before 5
  CHECK(l.ask(rank_window::fixed(6)).expert == 5);
}

TEST_CASE("rank_window limits the score that comes before", "[golden][rank_window]") {
  // All scores: (256 + 128 + 64 + 16 + 32 + 8 + 4 + 1) / 512 = 509 / 512. Before 3 come 0, 1, 2 and 4: 480 / 512,
  // a share of 480/509 = .943.
  layer const l({1, 3});
  CHECK_FALSE(l.ask(rank_window::fixed(12, 1.0, 0.94)).found);
  CHECK(l.ask(rank_window::fixed(12, 1.0, 0.945)).found);
  CHECK_THROWS_AS(rank_window::fixed(12, -1.0), buddy::config_error);
  CHECK_THROWS_AS(rank_window::fixed(12, 1.0, 1.1), buddy::config_error);
}

TEST_CASE("precision_by_mass goes by what the heavier experts weigh", "[golden][precision_by_mass]") {
  // shares .5 .25 .125 .125 of experts 3, 2, 0, 1: before them 0, .5, .75, .875 (a tie goes to the lower id)
  std::array<std::uint16_t, 4> const experts{3, 2, 0, 1};
  std::array<buddy::q16, 4> const shares{32768, 16384, 8192, 8192};
  buddy::token_view const token{0, 0, {experts.data(), 4}, {shares.data(), 4}, {}};
  auto const ask = [&](precision_by_mass const& selector, std::uint32_t s) {
    return selector.select(token, {}, buddy::expert_set{8}, s);
  };
  auto const selector = precision_by_mass::fixed(0.5, 0.75);  // what reaches a threshold is still within it
  CHECK_FALSE(ask(selector, 0).found);
  CHECK_FALSE(ask(selector, 1).found);
  CHECK(ask(selector, 2).how == buddy::resolution::low_precision);
  CHECK(ask(selector, 3).how == buddy::resolution::drop);
  CHECK(ask(precision_by_mass::fixed(0.0, 1.0), 1).how == buddy::resolution::low_precision);
  CHECK_THROWS_AS(precision_by_mass::fixed(0.8, 0.7), buddy::config_error);
}

TEST_CASE("a low-precision copy is of the missing expert itself", "[golden][precision_by_mass]") {
  std::array<std::uint16_t, 2> const experts{5, 6};
  std::array<buddy::q16, 2> const shares{40000, 25536};
  std::array<buddy::slot_id, 8> slot_of{};
  slot_of.fill(buddy::no_slot);
  std::array<buddy::slot_outcome, 2> out{};
  buddy::token_view const token{0, 0, {experts.data(), 2}, {shares.data(), 2}, {}};
  auto const given = buddy::resolve_row(token, {slot_of.data(), 8}, {}, tiny::masked{},
                                        precision_by_mass::fixed(0.5, 1.0), {out.data(), 2});
  CHECK(given == 1);
  CHECK(out[0].how == buddy::resolution::fetch);
  CHECK(out[1].how == buddy::resolution::low_precision);
  CHECK(out[1].expert == 6);
}
