// SPDX-License-Identifier: Apache-2.0
// The gates that protect by rank and by weight.
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/sensitivity/adapmoe_gate.hpp>
#include <buddy/policies/sensitivity/drop_cold.hpp>
#include <buddy/policies/sensitivity/keep_top.hpp>
#include <buddy/policies/sensitivity/score_gate.hpp>
#include <buddy/policies/sensitivity/ser_gate.hpp>

#include <array>
#include <limits>
#include <vector>

using namespace buddy::sensitivity;

namespace {

/// Asks about a token of these shares; expert ids fall with the slot unless given, so that a tie by slot would show.
template <class Gate>
buddy::slot_mask ask(Gate const& gate, std::vector<buddy::q16> const& shares, std::uint16_t layer = 0) {
  std::vector<std::uint16_t> experts(shares.size());
  for (std::size_t s = 0; s != shares.size(); ++s) experts[s] = static_cast<std::uint16_t>(9 - s);
  auto const k = static_cast<std::uint32_t>(shares.size());
  return gate.replaceable({layer, 0, {experts.data(), k}, {shares.data(), k}, {}});
}

// 1/16, 1/2, 1/4, 3/16: ranks 3, 0, 1, 2
std::vector<buddy::q16> const four{4096, 32768, 16384, 12288};

}  // namespace

TEST_CASE("keep_top protects the heaviest, wherever they stand", "[golden][keep_top]") {
  CHECK(ask(keep_top{0}, four) == 0b1111);
  CHECK(ask(keep_top{1}, four) == 0b1101);
  CHECK(ask(keep_top{2}, four) == 0b1001);
  CHECK(ask(keep_top{9}, four) == 0);
  // all alike, experts 9, 8, 7, 6: the lower id is the heavier
  CHECK(ask(keep_top{2}, {16384, 16384, 16384, 16384}) == 0b0011);
}

TEST_CASE("drop_cold compares with an equal share and spares the top", "[golden][drop_cold]") {
  // F / k = .75 / 4 = 3/16 = 12288 units: the share that reaches it stays
  CHECK(ask(drop_cold::fixed(0.75), four) == 0b0001);
  CHECK(ask(drop_cold::fixed(0.76), four) == 0b1001);
  CHECK(ask(drop_cold::fixed(4.0), four) == 0b1101);  // all are below 1, but the top one never goes
  CHECK(ask(drop_cold::fixed(0.0), four) == 0);
  CHECK_THROWS_AS(drop_cold::fixed(-1.0), buddy::config_error);
}

TEST_CASE("ser_gate wants both a low rank and a small part of the largest", "[golden][ser_gate]") {
  // t p_max = 3/8 * 1/2 = 3/16: below it only 1/16
  CHECK(ask(ser_gate::fixed(1, 0.375), four) == 0b0001);
  CHECK(ask(ser_gate::fixed(1, 0.4), four) == 0b1001);
  CHECK(ask(ser_gate::fixed(3, 0.4), four) == 0b0001);  // 3/16 is of rank 2: kept
  CHECK(ask(ser_gate::fixed(0, 1.0), four) == 0b1101);  // the largest is not below itself
  CHECK_THROWS_AS(ser_gate::fixed(1, 1.5), buddy::config_error);
}

TEST_CASE("adapmoe_gate of two experts is the paper's", "[golden][adapmoe_gate]") {
  // sqrt(T / w) = sqrt(1/64) = 1/8 = 8192 units; reached is not below
  auto const gate = adapmoe_gate::fixed(1.0 / 64.0);
  CHECK(ask(gate, {57345, 8191}) == 0b10);
  CHECK(ask(gate, {57344, 8192}) == 0b00);
  CHECK(ask(gate, {8191, 57345}) == 0b01);
}

TEST_CASE("adapmoe_gate adds up a slot and all lighter ones", "[golden][adapmoe_gate]") {
  // tails of 1/16, 3/16, 1/4, 1/2 from below: 1/16, 4/16, 8/16, 1; sqrt(T) = 3/8 bears the first two
  CHECK(ask(adapmoe_gate::fixed(9.0 / 64.0), four) == 0b1001);
  CHECK(ask(adapmoe_gate::fixed(1.0), {65536}) == 0);  // the heaviest stays
}

TEST_CASE("adapmoe_gate weighs the layers", "[golden][adapmoe_gate]") {
  // w = 4: sqrt(T / w) = 1/16; w = 0: everything but the heaviest
  std::array<buddy::q16, 3> const weights{65536, 4 * 65536, 0};
  adapmoe_gate gate = adapmoe_gate::fixed(1.0 / 64.0);
  gate.layer_weights = {weights.data(), 3};
  CHECK(ask(gate, {61000, 4536}, 0) == 0b10);
  CHECK(ask(gate, {61000, 4536}, 1) == 0b00);
  CHECK(ask(gate, {61441, 4095}, 1) == 0b10);
  CHECK(ask(gate, {33000, 32536}, 2) == 0b10);
  CHECK(gate.fits({3, 16, 2, 1}));
  CHECK_FALSE(gate.fits({2, 16, 2, 1}));
}

TEST_CASE("score_gate looks at the probability, not at the share", "[golden][score_gate]") {
  std::array<std::uint16_t, 2> const experts{1, 2};
  std::array<buddy::q16, 2> const shares{40000, 25536};
  std::array<float, 4> const scores{0.5F, 0.03F, 0.029F, std::numeric_limits<float>::quiet_NaN()};
  buddy::token_view token{0, 0, {experts.data(), 2}, {shares.data(), 2}, {scores.data(), 4}};
  CHECK(score_gate::fixed(0.03).replaceable(token) == 0b10);  // .03 itself is protected
  token.scores = {};
  CHECK(score_gate::fixed(1.0).replaceable(token) == 0);
  std::array<std::uint16_t, 2> const broken{3, 2};
  token.experts = {broken.data(), 2};
  token.scores = {scores.data(), 4};
  CHECK(score_gate::fixed(1.0).replaceable(token) == 0b10);
  CHECK_THROWS_AS(score_gate::fixed(-0.1), buddy::config_error);
}
