// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/sensitivity/share_gate.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

using buddy::sensitivity::share_gate;

namespace {

constexpr std::array<std::uint16_t, 4> experts{3, 1, 60, 7};
constexpr std::array<buddy::q16, 4> shares{16384, 16384, 16384, 16384};

buddy::slot_mask ask(double share, std::uint64_t number, std::uint16_t layer) {
  return share_gate::fixed(share).replaceable({layer, number, {experts.data(), 4}, {shares.data(), 4}, {}});
}

}  // namespace

TEST_CASE("share_gate lets nothing go at 0 and everything at 1", "[golden][share_gate]") {
  for (std::uint64_t t = 0; t != 1000; ++t) {
    REQUIRE(ask(0.0, t, 2) == 0);
    REQUIRE(ask(1.0, t, 2) == 0b1111);
  }
}

TEST_CASE("share_gate lets the share go, and more of it keeps what a smaller one had", "[golden][share_gate]") {
  // 40,000 draws at p: four standard deviations are 4 sqrt(p (1 - p) / 40000) <= 0.01.
  for (double const p : {0.25, 0.5, 0.9}) {
    int n = 0;
    for (std::uint64_t t = 0; t != 10'000; ++t) {
      auto const mask = ask(p, t, static_cast<std::uint16_t>(t % 26));
      REQUIRE((mask & ~ask(p + 0.05, t, static_cast<std::uint16_t>(t % 26))) == 0);
      n += std::popcount(mask);
    }
    CHECK(std::abs(n / 40'000.0 - p) < 0.01);
  }
}

TEST_CASE("share_gate draws anew for each token and each layer", "[golden][share_gate]") {
  int by_token = 0;
  int by_layer = 0;
  for (std::uint64_t t = 0; t != 1000; ++t) {
    by_token += ask(0.5, t, 0) != ask(0.5, t + 1, 0) ? 1 : 0;
    by_layer += ask(0.5, t, 0) != ask(0.5, t, 1) ? 1 : 0;
  }
  CHECK(by_token > 900);  // of 1000, 1/16 alike by chance
  CHECK(by_layer > 900);
}

TEST_CASE("share_gate refuses what is no share", "[golden][share_gate]") {
  CHECK_THROWS_AS(share_gate::fixed(-0.1), buddy::config_error);
  CHECK_THROWS_AS(share_gate::fixed(1.1), buddy::config_error);
}
