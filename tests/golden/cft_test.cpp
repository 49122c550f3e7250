// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cft.hpp>
#include <buddy/profile_builder.hpp>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <vector>

using ids = std::vector<std::uint16_t>;

namespace {

void observe(buddy::profile_builder& builder, ids const& experts, std::vector<float> const& weights = {}) {
  builder.observe(0, {{experts.data(), static_cast<std::uint32_t>(experts.size())},
                      {weights.data(), static_cast<std::uint32_t>(weights.size())}});
}

ids experts_of(buddy::buddy_table const& table, std::uint16_t expert, std::uint16_t layer = 0) {
  auto const list = table.of({layer, expert}).experts;
  return {list.begin(), list.end()};
}

/// Top-3 of 5 experts: {0,1,2} three times, {0,1,3} once; expert 4 never.
///
/// A = 4 4 3 1 0. M(0, .) = - 4 3 1 0, row sum 8 = (k - 1) A(0) = 2 x 4.
buddy::profile four_tokens() {
  buddy::profile_builder builder{{1, 5, 3, 1}, "m"};
  for (int i = 0; i != 3; ++i) observe(builder, {0, 1, 2});
  observe(builder, {3, 0, 1});
  return builder.finish();
}

/// Every pair of n experts was seen together `count` times.
buddy::profile uniform(std::uint16_t n, std::uint32_t count) {
  buddy::profile p{};
  p.shape = {1, n, 2, 1};
  p.model = "m";
  p.activations.assign(n, std::uint64_t{count} * (n - 1U));
  p.coactivations.assign(std::size_t{n} * n, count);
  for (std::uint16_t i = 0; i != n; ++i) p.coactivations[p.pair_index(0, i, i)] = 0;
  return p;
}

}  // namespace

TEST_CASE("cft divides the common tokens of two experts by the row without its diagonal", "[golden][cft]") {
  auto const table = buddy::build_cft(four_tokens());
  auto const of_0 = table.of({0, 0});
  REQUIRE(experts_of(table, 0) == ids{1, 2, 3});
  CHECK(of_0.similarities[0] == 32768);  // 4/8
  CHECK(of_0.similarities[1] == 24576);  // 3/8
  CHECK(of_0.similarities[2] == 8192);   // 1/8
  // M(2, .) = 3 3 - 0 0: a tie, so the lower id first; expert 3 never met 2.
  CHECK(experts_of(table, 2) == ids{0, 1});
  CHECK(table.of({0, 2}).similarities[0] == 32768);
}

TEST_CASE("cft stops at the entry that reaches alpha exactly", "[golden][cft]") {
  // Sums of the prefixes of expert 0: 4/8, 7/8, 8/8.
  CHECK(experts_of(buddy::build_cft(four_tokens(), {.alpha = 0.5}), 0) == ids{1});
  CHECK(experts_of(buddy::build_cft(four_tokens(), {.alpha = 0.500001}), 0) == ids{1, 2});
  CHECK(experts_of(buddy::build_cft(four_tokens(), {.alpha = 0.875}), 0) == ids{1, 2});
  CHECK(experts_of(buddy::build_cft(four_tokens(), {.alpha = 0.875001}), 0) == ids{1, 2, 3});
  // However small alpha is, an active expert has a buddy.
  CHECK(experts_of(buddy::build_cft(four_tokens(), {.alpha = 1e-9}), 0) == ids{1});
}

TEST_CASE("cft takes alpha as the decimal that was written", "[golden][cft]") {
  // One token of top-6: five peers of q = 1/5 each. The double .8 is a little above 4/5, yet four entries cover it.
  buddy::profile_builder builder{{1, 6, 6, 1}, "m"};
  observe(builder, {0, 1, 2, 3, 4, 5});
  auto const p = builder.finish();
  CHECK(experts_of(buddy::build_cft(p, {.alpha = 0.8}), 0) == ids{1, 2, 3, 4});
  CHECK(experts_of(buddy::build_cft(p, {.alpha = 0.800001}), 0) == ids{1, 2, 3, 4, 5});
}

TEST_CASE("cft needs at least alpha (k - 1) entries, and no q exceeds 1 / (k - 1)", "[golden][cft]") {
  // Top-6, one fixed group of six among eight: q = 1/5 is the bound; .9 x 5 = 4.5, so five entries.
  buddy::profile_builder builder{{1, 8, 6, 1}, "m"};
  for (int i = 0; i != 7; ++i) observe(builder, {0, 2, 3, 5, 6, 7});
  auto const table = buddy::build_cft(builder.finish(), {.alpha = 0.9});
  CHECK(experts_of(table, 3) == ids{0, 2, 5, 6, 7});
  CHECK(table.of({0, 3}).similarities[0] == 13107);  // 65536 / 5 = 13107.2
}

TEST_CASE("cft covers uniform company only with almost everybody", "[golden][cft]") {
  // ceil(.9 x 63) = ceil(56.7) = 57; ceil(.9 x 127) = ceil(114.3) = 115.
  CHECK(buddy::build_cft(uniform(64, 3), {.alpha = 0.9, .k_max = 63}).of({0, 5}).experts.size == 57);
  CHECK(buddy::build_cft(uniform(128, 3), {.alpha = 0.9, .k_max = 127}).of({0, 5}).experts.size == 115);
  // The cap binds first: 16 entries, the lowest ids that are not the expert itself.
  auto const capped = buddy::build_cft(uniform(64, 3), {.alpha = 0.9});
  CHECK(experts_of(capped, 2) == ids{0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
}

TEST_CASE("cft keeps the largest possible counts apart", "[golden][cft]") {
  // 1,023 peers of 2^32 - 2 tokens each and one that was met once more: the sum in Q16 still fits, and it is first.
  auto p = uniform(1024, std::numeric_limits<std::uint32_t>::max() - 1);
  p.coactivations[p.pair_index(0, 0, 900)] += 1;
  auto const table = buddy::build_cft(p, {.alpha = 0.5, .k_max = 1023});
  CHECK(table.of({0, 0}).experts[0] == 900);
  CHECK(table.of({0, 0}).experts.size == 512);  // 511 cover a hair less than half: 511/1023 < .5
}

TEST_CASE("cft gives an expert that was never active no list and no place in one", "[golden][cft]") {
  auto const plain = buddy::build_cft(four_tokens());
  auto const smoothed = buddy::build_cft(four_tokens(), {.laplace_eps = 1.0});
  CHECK(experts_of(plain, 4).empty());
  CHECK(experts_of(smoothed, 4).empty());
  // Smoothing lets 3 stand in for 2, which it never met, but 4 for nobody.
  CHECK(experts_of(smoothed, 2) == ids{0, 1, 3});
  for (std::uint16_t i = 0; i != 4; ++i) CHECK(experts_of(smoothed, i).size() == 3);
}

TEST_CASE("cft smooths before it normalises", "[golden][cft]") {
  // Top-2 of 4: {0,1} twice, {2,3} once. M(0, .) + 1 = - 3 1 1: q = 3/5, 1/5, 1/5, and alpha = .6 is reached by one.
  buddy::profile_builder builder{{1, 4, 2, 1}, "m"};
  observe(builder, {0, 1});
  observe(builder, {0, 1});
  observe(builder, {3, 2});
  auto const p = builder.finish();
  auto const table = buddy::build_cft(p, {.laplace_eps = 1.0});
  REQUIRE(experts_of(table, 0) == ids{1, 2, 3});
  CHECK(table.of({0, 0}).similarities[0] == 39322);  // .6 x 65536 = 39321.6
  CHECK(table.of({0, 0}).similarities[1] == 13107);  // .2 x 65536 = 13107.2
  CHECK(experts_of(buddy::build_cft(p, {.alpha = 0.6, .laplace_eps = 1.0}), 0) == ids{1});
}

TEST_CASE("cft can rank by the smaller gate share instead of by tokens", "[golden][cft]") {
  // Expert 0 met 1 once with shares 7/8 : 1/8 and 2 once with 1/2 : 1/2.
  // Binary: 1/2 each, tie to 1. Weighted: 1/8 and 4/8 of 5/8, that is 1/5 and 4/5.
  buddy::profile_builder builder{{1, 3, 2, 1}, "m"};
  observe(builder, {0, 1}, {7.0F, 1.0F});
  observe(builder, {0, 2}, {1.0F, 1.0F});
  auto const p = builder.finish();
  CHECK(experts_of(buddy::build_cft(p), 0) == ids{1, 2});
  auto const weighted = buddy::build_cft(p, {.counts = buddy::coactivation_counts::min_weighted});
  REQUIRE(experts_of(weighted, 0) == ids{2, 1});
  CHECK(weighted.of({0, 0}).similarities[0] == 52429);  // .8 x 65536 = 52428.8
}

TEST_CASE("cft counts tokens where the gate shares say nothing", "[golden][cft]") {
  // {0,1} twice with shares 1 : 0 and {0,2} once with 1/2 : 1/2. Weighted: 0 has 1/2 for 2 alone, 1 has nothing at all,
  // and gets its list by tokens.
  buddy::profile_builder builder{{1, 4, 2, 1}, "m"};
  observe(builder, {0, 1}, {1.0F, 0.0F});
  observe(builder, {0, 1}, {1.0F, 0.0F});
  observe(builder, {0, 2}, {1.0F, 1.0F});
  auto const table = buddy::build_cft(builder.finish(), {.counts = buddy::coactivation_counts::min_weighted});
  CHECK(experts_of(table, 0) == ids{2});
  REQUIRE(experts_of(table, 1) == ids{0});
  CHECK(table.of({0, 1}).similarities[0] == buddy::q16_one);  // 2 of 2
  CHECK(experts_of(table, 3).empty());                        // never active
}

TEST_CASE("cft takes one alpha for each layer", "[golden][cft]") {
  auto p = four_tokens();
  p.shape.n_layers = 2;
  auto const first = p.activations;
  auto const pairs = p.coactivations;
  p.activations.insert(p.activations.end(), first.begin(), first.end());
  p.coactivations.insert(p.coactivations.end(), pairs.begin(), pairs.end());
  auto const table = buddy::build_cft(p, {.alpha_per_layer = {0.5, 0.875}});
  CHECK(experts_of(table, 0, 0) == ids{1});
  CHECK(experts_of(table, 0, 1) == ids{1, 2});
}

TEST_CASE("cft refuses options that cannot work", "[golden][cft]") {
  auto const p = four_tokens();
  for (double const alpha : {0.0, -0.5, 1.001, std::numeric_limits<double>::quiet_NaN()}) {
    INFO("alpha " << alpha);
    CHECK_THROWS_AS(buddy::build_cft(p, {.alpha = alpha}), buddy::config_error);
    CHECK_THROWS_AS(buddy::build_cft(p, {.alpha_per_layer = {alpha}}), buddy::config_error);
  }
  for (double const eps : {-1.0, 1e-9, 65535.0, std::numeric_limits<double>::quiet_NaN()}) {
    INFO("eps " << eps);
    CHECK_THROWS_AS(buddy::build_cft(p, {.laplace_eps = eps}), buddy::config_error);
  }
  CHECK_THROWS_AS(buddy::build_cft(p, {.k_max = 0}), buddy::config_error);
  CHECK_THROWS_AS(buddy::build_cft(p, {.alpha_per_layer = {0.5, 0.5}}), buddy::config_error);
  // The tokens came without gate weights.
  CHECK_THROWS_AS(buddy::build_cft(p, {.counts = buddy::coactivation_counts::min_weighted}), buddy::config_error);
}
