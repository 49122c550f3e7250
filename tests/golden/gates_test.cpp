// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/gate_cases.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/sensitivity/always.hpp>
#include <buddy/policies/sensitivity/entropy_gate.hpp>
#include <buddy/policies/sensitivity/margin_gate.hpp>
#include <buddy/policies/sensitivity/never.hpp>
#include <buddy/policies/sensitivity/weight_gate.hpp>

#include <vector>

using namespace buddy::sensitivity;

namespace {

template <class Gate>
buddy::slot_mask ask(Gate const& gate, std::vector<buddy::q16> const& shares) {
  buddy::token_view token;
  token.shares = {shares.data(), static_cast<std::uint32_t>(shares.size())};
  return gate.replaceable(token);
}

}  // namespace

TEST_CASE("gates decide the case table", "[golden][sensitivity]") {
  for (gate_case const& c : gate_cases) {
    INFO("shares " << c.shares[0] << ' ' << c.shares[1] << ' ' << c.shares[2] << ' ' << c.shares[3]);
    buddy::token_view token;
    token.shares = {c.shares, c.top_k};
    CHECK(entropy_gate::fixed(0.875).replaceable(token) == c.entropy);
    CHECK(margin_gate::fixed(0.25).replaceable(token) == c.margin);
    CHECK(weight_gate::fixed(0.125).replaceable(token) == c.weight);
    CHECK(never{}.replaceable(token) == 0);
    CHECK(always{}.replaceable(token) == (1U << c.top_k) - 1);
  }
}

TEST_CASE("margin_gate forbids from gamma upwards", "[golden][margin_gate]") {
  // the two largest are 3/8 and 1/4, wherever they stand: margin 1/8 = 8192 units
  std::vector<buddy::q16> const shares{8192, 24576, 16384, 16384};
  CHECK(ask(margin_gate{8192}, shares) == 0);
  CHECK(ask(margin_gate{8193}, shares) == 0b1111);
}

TEST_CASE("weight_gate decides each slot alone", "[golden][weight_gate]") {
  // .12 is 7864.32 units: 7864
  CHECK(weight_gate::fixed(0.12).threshold_q16 == 7864);
  CHECK(ask(weight_gate::fixed(0.12), {40000, 7863, 9809, 7864}) == 0b0010);
}

TEST_CASE("always sets all 32 bits of a widest router", "[golden][always]") {
  CHECK(ask(always{}, std::vector<buddy::q16>(32, 2048)) == 0xffff'ffffU);
}

TEST_CASE("gates refuse thresholds that are no shares", "[golden][sensitivity]") {
  CHECK_THROWS_AS(margin_gate::fixed(-0.1), buddy::config_error);
  CHECK_THROWS_AS(weight_gate::fixed(1.5), buddy::config_error);
}
