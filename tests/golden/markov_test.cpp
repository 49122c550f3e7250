// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/prediction/markov.hpp>

#include <vector>

using buddy::model_shape;
using buddy::prediction::markov;

namespace {

using ids = std::vector<std::uint16_t>;

constexpr model_shape two_layers{2, 4, 2, 1};

void observe(markov& m, std::uint16_t layer, ids const& experts, std::uint32_t n_tokens = 1) {
  m.observe(layer, {{experts.data(), static_cast<std::uint32_t>(experts.size())}, {}, {}, n_tokens});
}

ids predicted(markov& m, std::uint16_t layer, std::uint32_t width = 4) {
  ids out(width);
  out.resize(m.predict(layer, {out.data(), width}));
  return out;
}

/// Counts of a model with 2 layers of 4 experts, nearly all 0.
struct counts {
  std::vector<std::uint32_t> all = std::vector<std::uint32_t>(2 * 4 * 4);
  std::uint32_t& operator()(std::size_t layer, std::size_t from, std::size_t to) {
    return all[(layer * 4 + from) * 4 + to];
  }
  [[nodiscard]] buddy::view<std::uint32_t const> as_view() const {
    return {all.data(), static_cast<std::uint32_t>(all.size())};
  }
};

}  // namespace

TEST_CASE("markov ranks experts by the transitions it has seen", "[golden][markov]") {
  markov m(two_layers);
  observe(m, 0, {0, 1});
  observe(m, 1, {2, 3});  // M0: 0>2 0>3 1>2 1>3
  observe(m, 0, {0, 2});  // M1: 2>0 2>2 3>0 3>2
  observe(
      m, 1,
      {1, 2});  // M0: 0>1 0>2 2>1 2>2; so M0(0,.) = {1: 1, 2: 2, 3: 1}, M0(1,.) = {2: 1, 3: 1}, M0(2,.) = {1: 1, 2: 1}

  // layer 0 next: M1(1,.) is empty, M1(2,.) = {0: 1, 2: 1} -> 1/2 each, the lower first
  CHECK(predicted(m, 0) == ids{0, 2});

  observe(m, 0, {0, 1});
  // layer 1 after {0, 1}: expert 1: 1/4; expert 2: 2/4 + 1/2 = 1; expert 3: 1/4 + 1/2 = 3/4; expert 0 never followed
  CHECK(predicted(m, 1) == ids{2, 3, 1});
  CHECK(predicted(m, 1, 2) == ids{2, 3});
  CHECK(predicted(m, 1, 0) == ids{});
}

TEST_CASE("markov pairs the tokens of a batch by position", "[golden][markov]") {
  markov m(model_shape{2, 4, 1, 1});
  observe(m, 0, {0, 1}, 2);
  observe(m, 1, {2, 3}, 2);  // 0>2 and 1>3, not 0>3
  observe(m, 0, {0}, 1);     // two tokens before, one now: 2>0 and 3>0 are not counted
  CHECK(predicted(m, 1) == ids{2});
  observe(m, 1, {2}, 1);
  CHECK(predicted(m, 0) == ids{});
}

TEST_CASE("markov counts no transition across a layer that was left out", "[golden][markov]") {
  markov m(model_shape{3, 4, 1, 1});
  observe(m, 0, {0});
  observe(m, 2, {1});  // layer 1 is missing
  observe(m, 0, {0});
  CHECK(predicted(m, 1) == ids{});
  CHECK(predicted(m, 0) == ids{0});  // but 1>0 from layer 2 to layer 0 is
}

TEST_CASE("markov counts the first max_tokens tokens of a batch", "[golden][markov]") {
  markov m(model_shape{2, 4, 1, 1}, 1);
  observe(m, 0, {0, 1}, 2);
  observe(m, 1, {2, 3}, 2);  // 0>2; the second token is beyond max_tokens
  observe(m, 0, {0, 1}, 2);
  CHECK(predicted(m, 1) == ids{2});
}

TEST_CASE("markov starts from counts made offline", "[golden][markov]") {
  counts m0;
  m0(0, 0, 1) = 5;
  m0(0, 0, 3) = 5;
  m0(0, 1, 0) = 2;
  m0(0, 1, 3) = 1;
  markov m(two_layers);
  m.seed(m0.as_view());
  observe(m, 0, {0, 1});
  // expert 0: 2/3; expert 1: 5/10; expert 3: 5/10 + 1/3 = 5/6
  CHECK(predicted(m, 1) == ids{3, 0, 1});
  observe(m, 0, {0, 2});
  CHECK(predicted(m, 1) == ids{1, 3});  // a tie: the lower id
}

TEST_CASE("markov halves a row that would overflow and keeps its order", "[golden][markov]") {
  // 4,294,967,295 + 3,000,000,000 + 1: halved twice to 1,073,741,823 + 750,000,000 + 0, below 2^31
  counts large;
  large(0, 0, 1) = 0xffff'ffffU;
  large(0, 0, 2) = 3'000'000'000U;
  large(0, 0, 3) = 1;
  markov m(two_layers);
  m.seed(large.as_view());
  for (int i = 0; i != 1000; ++i) {
    observe(m, 0, {0, 3});
    CHECK(predicted(m, 1).at(0) == 1);
    observe(m, 1, {1, 2});
  }
}

TEST_CASE("markov refuses counts of another model", "[golden][markov]") {
  markov m(two_layers);
  std::vector<std::uint32_t> const wrong(31);
  CHECK_THROWS_AS(m.seed({wrong.data(), 31}), buddy::config_error);
}
