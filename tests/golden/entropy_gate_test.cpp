// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/sensitivity/entropy_gate.hpp>

#include <array>
#include <cmath>
#include <vector>

using buddy::q16;
using buddy::sensitivity::entropy_gate;

namespace {

/// Gate weights in, as the engine would normalise them.
bool bears(entropy_gate const& gate, std::vector<float> const& weights, std::uint16_t layer = 0) {
  std::vector<q16> shares(weights.size());
  auto const k = static_cast<std::uint32_t>(weights.size());
  buddy::normalise({weights.data(), k}, {shares.data(), k});
  buddy::token_view token;
  token.layer = layer;
  token.shares = {shares.data(), k};
  return gate.replaceable(token) == (1U << k) - 1;
}

}  // namespace

TEST_CASE("entropy_gate forbids from TAE == tau downwards", "[golden][entropy_gate]") {
  // shares 1/2 1/4 1/8 1/8: 1/2 * 1 + 1/4 * 2 + 2 * 1/8 * 3 = 1.75 bits; of log2 4 = 2: .875 = 57344 units exactly
  std::vector<float> const weights{4, 2, 1, 1};
  CHECK_FALSE(bears(entropy_gate{.tau_q16 = 57344}, weights));
  CHECK_FALSE(bears(entropy_gate{.tau_q16 = 57345}, weights));
  CHECK(bears(entropy_gate{.tau_q16 = 57343}, weights));
}

TEST_CASE("entropy_gate finds the entropies of top-6 tokens", "[golden][entropy_gate]") {
  // In nats over ln 6 = 1.791759:
  // (2 1 1 1 1 1) / 7: 2/7 * ln 3.5 + 5/7 * ln 7 = .357932 + 1.389936 = 1.747868              -> .975504
  // (3 2 1.5 1 1 1) / 9.5: .315789 * 1.152680 + .210526 * 1.558145 + .157895 * 1.845827 + 3 * .105263 * 2.251292
  //                      = .364004 + .328031 + .291446 + .710934 = 1.694415                  -> .945671
  // (4 2 1.5 1 .8 .7) / 10: .366516 + .321888 + .284568 + .230259 + .202058 + .186148 = 1.591437 -> .888198
  struct {
    std::vector<float> weights;
    double entropy;
  } const cases[] = {
      {{2, 1, 1, 1, 1, 1}, 0.975504}, {{3, 2, 1.5F, 1, 1, 1}, 0.945671}, {{4, 2, 1.5F, 1, .8F, .7F}, 0.888198}};
  for (auto const& c : cases) {
    INFO("entropy " << c.entropy);
    CHECK(bears(entropy_gate::fixed(c.entropy - 1e-4), c.weights));
    CHECK_FALSE(bears(entropy_gate::fixed(c.entropy + 1e-4), c.weights));
  }
  CHECK(bears(entropy_gate{}, cases[0].weights));  // tau .95, the default, lets only nearly flat tokens through
  CHECK_FALSE(bears(entropy_gate{}, cases[1].weights));
}

TEST_CASE("entropy_gate allows nothing at tau 1 and a flat token below", "[golden][entropy_gate]") {
  // six shares of 1/6 = 10922.67 round to 10923, and sum to 65538: still no entropy above 1
  CHECK_FALSE(bears(entropy_gate::fixed(1.0), {1, 1, 1, 1, 1, 1}));
  CHECK(bears(entropy_gate::fixed(0.9999), {1, 1, 1, 1, 1, 1}));
}

TEST_CASE("entropy_gate forbids what has no entropy", "[golden][entropy_gate]") {
  CHECK_FALSE(bears(entropy_gate::fixed(0.0), {1}));        // top_k 1: undefined
  CHECK_FALSE(bears(entropy_gate::fixed(0.0), {1, 0, 0}));  // TAE 0 <= tau 0
  CHECK(bears(entropy_gate::fixed(0.0), {1, 1e-3F, 0}));
}

TEST_CASE("entropy_gate takes each layer's own threshold", "[golden][entropy_gate]") {
  std::array<q16, 2> const tau{57343, 57344};
  auto const gate = entropy_gate::per_layer({tau.data(), 2});
  CHECK(bears(gate, {4, 2, 1, 1}, 0));
  CHECK_FALSE(bears(gate, {4, 2, 1, 1}, 1));
}

TEST_CASE("entropy_gate measures at its temperature", "[golden][entropy_gate]") {
  // shares (1/2 1/4 1/4), log2 3 = 1.584963
  // T = 1:   1.5 bits                                                      -> .946395
  // T = .5:  squares (4 1 1) / 6: 2/3 * .584963 + 1/3 * 2.584963 = 1.251629 -> .789690
  // T = 2:   roots (1.414214 1 1) / 3.414214: .414214 * 1.271553 + .585786 * 1.771553 = 1.564447 -> .987056
  struct {
    double temperature;
    double entropy;
  } const cases[] = {{1.0, 0.946395}, {0.5, 0.789690}, {2.0, 0.987056}};
  for (auto const& c : cases) {
    INFO("temperature " << c.temperature);
    CHECK(bears(entropy_gate::fixed(c.entropy - 1e-4).with_temperature(c.temperature), {2, 1, 1}));
    CHECK_FALSE(bears(entropy_gate::fixed(c.entropy + 1e-4).with_temperature(c.temperature), {2, 1, 1}));
  }
  // so cold that only the largest share is left, so hot that all are equal; a share of 0 stays 0
  CHECK_FALSE(bears(entropy_gate::fixed(0.0).with_temperature(1.0 / 65536.0), {2, 1, 1}));
  CHECK(bears(entropy_gate::fixed(0.999).with_temperature(65536.0), {2, 1, 1}));
  CHECK_FALSE(bears(entropy_gate::fixed(0.0).with_temperature(65536.0), {1, 0}));
}

TEST_CASE("entropy_gate forbids a wide margin too when told", "[golden][entropy_gate]") {
  // (4 2 1 1) / 8: TAE .875 > .5, margin 1/2 - 1/4 = 1/4 = 16384 units
  auto gate = entropy_gate::fixed(0.5);
  CHECK(bears(gate, {4, 2, 1, 1}));
  CHECK_FALSE(bears(gate.with_margin(0.25), {4, 2, 1, 1}));
  gate.gamma_q16 = 16385;
  CHECK(bears(gate, {4, 2, 1, 1}));
}

TEST_CASE("entropy_gate agrees with floats on random tokens", "[golden][entropy_gate]") {
  // Weights i^2 mod 97 + 1 over 500 tokens of 6: floats and integers may differ within 3 units of tau only.
  auto const gate = entropy_gate::fixed(0.9);
  int decided = 0;
  for (int t = 0; t != 500; ++t) {
    std::vector<float> weights;
    for (int s = 0; s != 6; ++s) weights.push_back(static_cast<float>((t * 6 + s) * (t * 6 + s) % 97 + 1));
    double sum = 0.0, entropy = 0.0;
    for (float const w : weights) sum += double{w};
    for (float const w : weights) entropy -= double{w} / sum * std::log(double{w} / sum) / std::log(6.0);
    if (std::abs(entropy - 0.9) < 3.0 / 65536.0) continue;
    CHECK(bears(gate, weights) == (entropy > 0.9));
    ++decided;
  }
  CHECK(decided > 490);
}

TEST_CASE("entropy_gate refuses settings that cannot be", "[golden][entropy_gate]") {
  CHECK_THROWS_AS(entropy_gate::fixed(1.01), buddy::config_error);
  CHECK_THROWS_AS(entropy_gate::fixed(std::nan("")), buddy::config_error);
  CHECK_THROWS_AS(entropy_gate{}.with_temperature(0.0), buddy::config_error);
  CHECK_THROWS_AS(entropy_gate{}.with_margin(-0.5), buddy::config_error);
}
