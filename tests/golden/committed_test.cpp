// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/policies/prediction/committed.hpp>

#include <array>

using buddy::prediction::committed;

namespace {

constexpr buddy::model_shape shape{1, 4, 2, 1};
constexpr std::array<float, 4> scores{0.5F, 0.25F, 0.125F, 0.125F};
constexpr std::array<std::uint16_t, 2> experts{0, 1};
constexpr std::array<float, 2> weights{0.5F, 0.25F};  // not normalised

buddy::routing const truth{{experts.data(), 2}, {weights.data(), 2}, {scores.data(), 4}, 1};

}  // namespace

TEST_CASE("committed runs what was predicted with the true router's weights", "[golden][committed]") {
  committed c(shape);
  std::array<std::uint16_t, 3> const named{3, 1, 0};
  // experts 1 and 3: scores 1/4 and 1/8 in a sum of 3/8, scaled to the true sum of 3/4
  buddy::routing const r = c.commit({named.data(), 3}, truth);
  CHECK(r.experts[0] == 1);
  CHECK(r.experts[1] == 3);
  CHECK(r.weights[0] == 0.5F);
  CHECK(r.weights[1] == 0.25F);
  CHECK(r.scores.data == truth.scores.data);
}

TEST_CASE("a prediction that is right changes nothing", "[golden][committed]") {
  committed c(shape);
  std::array<std::uint16_t, 2> const named{1, 0};
  buddy::routing const r = c.commit({named.data(), 2}, truth);
  for (std::uint32_t s = 0; s != 2; ++s) {
    CHECK(r.experts[s] == truth.experts[s]);
    CHECK(r.weights[s] == truth.weights[s]);
  }
}

TEST_CASE("a prediction that is too short, or worth nothing, is not committed to", "[golden][committed]") {
  committed c(shape);
  std::array<std::uint16_t, 2> const named{2, 3};
  CHECK(c.commit({named.data(), 1}, truth).experts.data == experts.data());
  std::array<float, 4> const none{0.75F, 0.25F, 0.0F, 0.0F};
  buddy::routing sharp = truth;
  sharp.scores = {none.data(), 4};
  CHECK(c.commit({named.data(), 2}, sharp).experts.data == experts.data());
}
