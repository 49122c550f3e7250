// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/prediction/none.hpp>
#include <buddy/policies/prediction/previous_token.hpp>

#include <array>
#include <vector>

using buddy::prediction::previous_token;

namespace {

template <class P>
std::vector<std::uint16_t> predicted(P& p, std::uint16_t layer, std::uint32_t width) {
  std::vector<std::uint16_t> out(width);
  out.resize(p.predict(layer, {out.data(), width}));
  return out;
}

using ids = std::vector<std::uint16_t>;

}  // namespace

TEST_CASE("previous_token names what the layer was asked for last", "[golden][previous_token]") {
  previous_token p(buddy::model_shape{2, 4, 2, 1});
  CHECK(predicted(p, 0, 4) == ids{});  // nothing is known yet

  // two tokens, {3, 1} and {1, 2}: distinct in routed order 3 1 2
  std::array<std::uint16_t, 4> const first{3, 1, 1, 2};
  p.observe(0, {{first.data(), 4}, {}, {}, 2});
  CHECK(predicted(p, 0, 4) == ids{3, 1, 2});
  CHECK(predicted(p, 0, 2) == ids{3, 1});
  CHECK(predicted(p, 0, 0) == ids{});
  CHECK(predicted(p, 1, 4) == ids{});  // another layer

  std::array<std::uint16_t, 2> const second{0, 3};
  p.observe(0, {{second.data(), 2}, {}, {}, 1});
  CHECK(predicted(p, 0, 4) == ids{0, 3});
}

TEST_CASE("previous_token refuses a shape that cannot be", "[golden][previous_token]") {
  CHECK_THROWS_AS(previous_token(buddy::model_shape{0, 4, 2, 1}), buddy::config_error);
  CHECK_THROWS_AS(previous_token(buddy::model_shape{2, 2000, 2, 1}), buddy::config_error);
}

TEST_CASE("none predicts nothing", "[golden][none]") {
  buddy::prediction::none p(buddy::model_shape{1, 4, 2, 1});
  std::array<std::uint16_t, 2> const asked{0, 3};
  p.observe(0, {{asked.data(), 2}, {}, {}, 1});
  CHECK(predicted(p, 0, 4) == ids{});
}
