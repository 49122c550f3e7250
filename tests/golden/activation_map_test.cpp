// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/prediction/activation_map.hpp>

#include <vector>

using buddy::model_shape;
using buddy::prediction::activation_map;

namespace {

using ids = std::vector<std::uint16_t>;

constexpr model_shape shape{2, 4, 1, 1};

void observe(activation_map& m, std::uint16_t layer, ids const& experts) {
  auto const n = static_cast<std::uint32_t>(experts.size());
  m.observe(layer, {{experts.data(), n}, {}, {}, n});
}

ids predicted(activation_map& m, std::uint16_t layer, std::uint32_t width = 4) {
  ids out(width);
  out.resize(m.predict(layer, {out.data(), width}));
  return out;
}

/// A sequence of its own: one batch at each layer.
void text(activation_map& m, ids const& first, ids const& second) {
  m.begin_sequence();
  observe(m, 0, first);
  observe(m, 1, second);
}

}  // namespace

TEST_CASE("activation_map names what the nearest text used", "[golden][activation_map]") {
  activation_map m(shape);
  text(m, {0, 0, 1}, {2, 3, 3});  // A: layer 0 = (2 1 0 0), layer 1 = (0 0 1 2)
  CHECK(predicted(m, 1).empty());
  text(m, {2, 2, 1}, {0, 1, 1});  // B: layer 0 = (0 1 2 0), layer 1 = (1 2 0 0)
  m.begin_sequence();
  CHECK(predicted(m, 0).empty());  // nothing is known of the present text
  CHECK(m.n_stored() == 2);

  observe(m, 0, {1});  // cosine 1/sqrt(5) with both: A, which is stored first
  CHECK(predicted(m, 1) == ids{3, 2});
  observe(m, 0, {2});  // (0 1 1 0): A 1/sqrt(10), B 3/sqrt(10)
  CHECK(predicted(m, 1) == ids{1, 0});
  CHECK(predicted(m, 1, 1) == ids{1});
  CHECK(predicted(m, 0) == ids{2, 1});
  observe(m, 1, {3});  // A: 1/sqrt(10) + 2/sqrt(5) = 1.21; B: 3/sqrt(10) + 0 = 0.95
  CHECK(predicted(m, 0) == ids{0, 1});
}

TEST_CASE("activation_map weighs a copy by its share and its distance", "[golden][activation_map]") {
  activation_map m(shape);
  text(m, {0, 0, 1, 0}, {2, 3, 3, 3});
  m.begin_sequence();
  CHECK(m.priority({0, 0}) == 0.0);
  observe(m, 0, {0});
  CHECK(m.priority({0, 0}) == 0.75 + 1e-8);
  CHECK(m.priority({1, 3}) == (0.75 + 1e-8) * (1.0 - 1.0 / 3.0));  // one layer on, of 2
  CHECK(m.priority({1, 0}) == 1e-8 * (1.0 - 1.0 / 3.0));
  observe(m, 1, {3});
  CHECK(m.priority({0, 0}) == 0.0);  // it has run
}

TEST_CASE("a full activation_map gives up the nearest text", "[golden][activation_map]") {
  activation_map m(shape, 2);
  text(m, {0}, {0});
  text(m, {1}, {1});
  text(m, {1, 1, 3}, {2, 2, 1});  // nearer to the second
  m.begin_sequence();
  CHECK(m.n_stored() == 2);
  observe(m, 0, {1});
  CHECK(predicted(m, 1) == ids{2, 1});
  m.begin_sequence();
  observe(m, 0, {0});
  CHECK(predicted(m, 1) == ids{0});
}

TEST_CASE("a text of no tokens is not kept", "[golden][activation_map]") {
  activation_map m(shape);
  m.begin_sequence();
  m.begin_sequence();
  CHECK(m.n_stored() == 0);
  CHECK_THROWS_AS(activation_map(shape, 0), buddy::config_error);
}
