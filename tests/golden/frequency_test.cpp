// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/prediction/frequency.hpp>
#include <buddy/policies/prediction/previous_token_fill.hpp>

#include <vector>

using buddy::model_shape;
using buddy::prediction::frequency;
using buddy::prediction::previous_token_fill;

namespace {

using ids = std::vector<std::uint16_t>;

constexpr model_shape shape{2, 6, 2, 1};

template <class P>
void observe(P& p, std::uint16_t layer, ids const& experts) {
  auto const n = static_cast<std::uint32_t>(experts.size());
  p.observe(layer, {{experts.data(), n}, {}, {}, n / 2});
}

template <class P>
ids predicted(P& p, std::uint16_t layer, std::uint32_t width = 6) {
  ids out(width);
  out.resize(p.predict(layer, {out.data(), width}));
  return out;
}

}  // namespace

TEST_CASE("frequency ranks by tokens, ties by id", "[golden][frequency]") {
  frequency f(shape);
  CHECK(predicted(f, 0).empty());
  observe(f, 0, {5, 2, 2, 4});  // two tokens: 2 twice, 4 and 5 once
  CHECK(predicted(f, 0) == ids{2, 4, 5});
  observe(f, 0, {5, 0});
  CHECK(predicted(f, 0) == ids{2, 5, 0, 4});
  CHECK(predicted(f, 0, 1) == ids{2});
  CHECK(predicted(f, 0, 0).empty());
  CHECK(predicted(f, 1).empty());
}

TEST_CASE("frequency with a moving average forgets", "[golden][frequency]") {
  // alpha 1/2. Expert 0 three times, then 1 and 3 once each: 0 has (1/2 + 1/4 + 1/8), 1 has 1/2, 3 has 1.
  frequency f(shape, 0.5);
  for (int i = 0; i != 3; ++i) observe(f, 0, {0, 4});
  observe(f, 0, {1, 2});  // 0 and 4: 1.75 / 2 = 0.875; 1 and 2: 1
  CHECK(predicted(f, 0) == ids{1, 2, 0, 4});
  observe(f, 0, {3, 5});  // 3 and 5: 1; 1 and 2: 0.5; 0 and 4: 0.4375
  CHECK(predicted(f, 0) == ids{3, 5, 1, 2, 0, 4});
  CHECK(f.counts(0)[0] == 28672);                       // 0.4375 x 65536
  for (int i = 0; i != 16; ++i) observe(f, 0, {3, 5});  // 28672 has 15 binary digits: nothing is left of it
  CHECK(predicted(f, 0) == ids{3, 5});
}

TEST_CASE("frequency refuses an alpha that forgets nothing or too much", "[golden][frequency]") {
  CHECK_THROWS_AS(frequency(shape, 1.0), buddy::config_error);
  CHECK_THROWS_AS(frequency(shape, -0.1), buddy::config_error);
  CHECK_NOTHROW(frequency(shape, 0.0));
}

TEST_CASE("previous_token_fill names the last experts, then the popular ones", "[golden][previous_token_fill]") {
  previous_token_fill p(shape);
  CHECK(predicted(p, 0).empty());
  observe(p, 0, {0, 1});
  observe(p, 0, {1, 3});
  observe(p, 0, {5, 2});
  // last 5 2; of the rest 1 twice, 0 and 3 once
  CHECK(predicted(p, 0) == ids{5, 2, 1, 0, 3});
  CHECK(predicted(p, 0, 3) == ids{5, 2, 1});
  CHECK(predicted(p, 0, 1) == ids{5});
  CHECK(predicted(p, 1).empty());
}
