// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/adapmoe_split.hpp>
#include <buddy/error.hpp>
#include <buddy/layer_split.hpp>

#include <cstdint>
#include <vector>

using split = std::vector<std::uint32_t>;

TEST_CASE("each next slot goes where it brings most hits", "[golden][layer_split]") {
  // Gains slot by slot:  layer 0: 50 10 5 5    layer 1: 30 20 15 10
  // Both have one; of three more, the gains 20 and 15 of layer 1 come first, then 10 of each: the lower layer.
  std::vector<buddy::hit_curve> const curves{{100, 0, {0, 50, 60, 65, 70}}, {100, 0, {0, 30, 50, 65, 75}}};
  CHECK(buddy::split_by_marginal_gain(curves, 2) == split{1, 1});
  CHECK(buddy::split_by_marginal_gain(curves, 4) == split{1, 3});
  CHECK(buddy::split_by_marginal_gain(curves, 5) == split{2, 3});
  CHECK(buddy::split_by_marginal_gain(curves, 6) == split{2, 4});
  CHECK(buddy::split_by_marginal_gain(curves, 100) == split{4, 4});
  CHECK(buddy::expected_hits(curves, {2, 3}) == 60 + 65);
  CHECK(buddy::split_by_marginal_gain(curves, 4, 2) == split{2, 2});
}

TEST_CASE("a cliff in a curve is taken whole when it pays", "[golden][layer_split]") {
  // Layer 0 gains nothing until its fourth slot, then 90: 30 a slot on the hull. Layer 1 gains 20 a slot.
  std::vector<buddy::hit_curve> const curves{{100, 0, {0, 0, 0, 0, 90}}, {100, 0, {0, 20, 40, 60, 80}}};
  CHECK(buddy::split_by_marginal_gain(curves, 5) == split{4, 1});
  CHECK(buddy::split_exactly(curves, 5) == split{4, 1});
  // Two slots for three: the hull promises 2/3 of the cliff, the curve nothing. The exact split knows.
  CHECK(buddy::split_by_marginal_gain(curves, 4) == split{3, 1});
  CHECK(buddy::split_exactly(curves, 4) == split{1, 3});
}

TEST_CASE("a split that cannot be is refused", "[golden][layer_split]") {
  std::vector<buddy::hit_curve> const curves{{1, 0, {0, 1, 1}}, {1, 0, {0, 1, 1}}};
  CHECK_THROWS_AS(buddy::split_by_marginal_gain(curves, 1), buddy::config_error);     // one slot, two layers
  CHECK_THROWS_AS(buddy::split_by_marginal_gain(curves, 6, 3), buddy::config_error);  // a layer has two experts
  CHECK_THROWS_AS(buddy::split_by_marginal_gain(curves, 2, 0), buddy::config_error);
  CHECK_THROWS_AS(buddy::split_by_marginal_gain({}, 2), buddy::config_error);
  CHECK_THROWS_AS(buddy::split_exactly(curves, 1), buddy::config_error);
}

TEST_CASE("AdapMoE's loads are its formula for two of eight", "[golden][layer_split]") {
  // r (1 - n/8) (1 - a) + (1 - r) [(1 - a) (2 both + one) + a both], both = (8-n)(7-n)/56, one = 2 (8-n) n / 56.
  for (std::uint32_t n = 0; n != 10; ++n) {
    for (double const a : {0.0, 0.25, 0.9, 1.0}) {
      for (double const r : {0.0, 0.5, 1.0}) {
        double const m = n < 8 ? n : 8;
        double const both = (8 - m) * (7 - m) / 56;
        double const one = 2 * (8 - m) * m / 56;
        double const published = r * (1 - m / 8) * (1 - a) + (1 - r) * ((1 - a) * (2 * both + one) + a * both);
        CHECK(buddy::adapmoe_loads({a, r}, n, 8, 2) == Approx(published).margin(1e-12));
      }
    }
  }
  // By hand, n = 4, a = 1/2, r = 0: both = 12/56, one = 32/56; (24 + 32)/56 / 2 + 12/56 / 2 = 68/112.
  CHECK(buddy::adapmoe_loads({0.5, 0.0}, 4, 8, 2) == Approx(68.0 / 112.0));
}

TEST_CASE("AdapMoE gives slots to layers whose prefetcher guesses badly", "[golden][layer_split]") {
  buddy::model_shape const shape{.n_layers = 2, .n_experts = 8, .top_k = 2, .expert_bytes = 1};
  // a = 0: loads 2 - n/4, each slot saves 1/4. a = 1: loads (8-n)(7-n)/56; slot n -> n+1 saves 2 (7-n)/56 = (7-n)/28,
  // 6/28 for the second slot and less from there. So layer 0 takes 1/4 = 7/28 again and again, until it is full.
  CHECK(buddy::split_adapmoe(shape, {{0.0, 0.0}, {1.0, 0.0}}, 6) == split{5, 1});
  CHECK(buddy::split_adapmoe(shape, {{0.0, 0.0}, {1.0, 0.0}}, 10) == split{8, 2});
  // All tokens of layer 0 keep one expert: its slots save 1/8 = 3.5/28, less than the 6, 5, 4 of layer 1, more than 3.
  CHECK(buddy::split_adapmoe(shape, {{0.0, 1.0}, {1.0, 0.0}}, 6) == split{2, 4});
  CHECK_THROWS_AS(buddy::split_adapmoe(shape, {{0.0, 0.0}}, 6), buddy::config_error);
  CHECK_THROWS_AS(buddy::split_adapmoe(shape, {{0.0, 0.0}, {1.5, 0.0}}, 6), buddy::config_error);
}
