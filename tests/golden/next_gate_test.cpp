// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/prediction/next_gate.hpp>

#include <array>
#include <vector>

using buddy::model_shape;
using buddy::view;
using buddy::prediction::next_gate;

namespace {

using ids = std::vector<std::uint16_t>;

constexpr model_shape shape{3, 4, 2, 1};

// Routers of 3 layers, 4 experts, 2 numbers each.
constexpr std::array<float, 8> router0{9, 9, 9, 9, 9, 9, 9, 9};
constexpr std::array<float, 8> router1{1, 0, 0, 1, 1, 1, 1, 0};
constexpr std::array<float, 8> router2{0, 2, -1, 0, 3, -1, 0, 0};

std::vector<view<float const>> rows() { return {{router0.data(), 8}, {router1.data(), 8}, {router2.data(), 8}}; }

next_gate make(std::uint16_t ahead = 1) {
  auto const all = rows();
  return {shape, {all.data(), 3}, ahead};
}

void observe(next_gate& g, std::uint16_t layer, std::vector<float> const& inputs, std::uint32_t n_tokens = 1) {
  ids const experts(n_tokens * shape.top_k);
  g.observe(layer, {{experts.data(), n_tokens * shape.top_k},
                    {},
                    {},
                    n_tokens,
                    {inputs.data(), static_cast<std::uint32_t>(inputs.size())}});
}

ids predicted(next_gate& g, std::uint16_t layer, std::uint32_t width = 4) {
  ids out(width);
  out.resize(g.predict(layer, {out.data(), width}));
  return out;
}

}  // namespace

TEST_CASE("next_gate asks the next layer's router now", "[golden][next_gate]") {
  next_gate g = make();
  CHECK(predicted(g, 1).empty());  // nothing was read yet
  observe(g, 0, {3, 1});
  // layer 1: 3, 1, 4, 3: expert 2 first, then 0 and 3 by id, then 1
  CHECK(predicted(g, 1) == ids{2, 0, 3, 1});
  CHECK(predicted(g, 1, 2) == ids{2, 0});
  CHECK(predicted(g, 2).empty());  // layer 1 was not read
  CHECK(predicted(g, 0).empty());  // nobody knows the next token
  observe(g, 1, {1, 2});
  CHECK(predicted(g, 2) == ids{0, 2, 3, 1});  // 4, -1, 1, 0
  CHECK(predicted(g, 1).empty());             // it ran; that of the next step is not known
}

TEST_CASE("next_gate looks further ahead", "[golden][next_gate]") {
  next_gate g = make(2);
  observe(g, 0, {1, 2});
  CHECK(predicted(g, 1).empty());
  CHECK(predicted(g, 2) == ids{0, 2, 3, 1});
  observe(g, 1, {-5, 0});
  CHECK(predicted(g, 2) == ids{0, 2, 3, 1});  // still what layer 0 read
}

TEST_CASE("next_gate ranks a batch by the sum of its tokens", "[golden][next_gate]") {
  next_gate g = make();
  observe(g, 0, {3, 0, 0, 1}, 2);  // sum 3, 1
  CHECK(predicted(g, 1) == ids{2, 0, 3, 1});
}

TEST_CASE("next_gate says nothing of what it could not read, or read in another step", "[golden][next_gate]") {
  next_gate g = make();
  observe(g, 0, {3, 1});
  observe(g, 1, {1, 2});
  observe(g, 0, {});  // the next step, without inputs
  CHECK(predicted(g, 1).empty());
  CHECK(predicted(g, 2).empty());
}

TEST_CASE("next_gate sums wide inputs in any number of parts", "[golden][next_gate]") {
  // 37 numbers, two vectors of 16 and a rest of 5. Expert e has e in place 36 - 18 e and 1 elsewhere; the input is all
  // 1: 36 + e.
  constexpr std::uint32_t wide = 37;
  model_shape const two{2, 3, 1, 1};
  std::vector<float> router(3 * wide, 1.0F);
  for (std::uint32_t e = 0; e != 3; ++e) router[e * wide + 36 - e * 18] = static_cast<float>(e);
  std::vector<view<float const>> const all(2, {router.data(), 3 * wide});
  next_gate g{two, {all.data(), 2}};
  std::array<std::uint16_t, 1> const experts{};
  std::vector<float> const ones(wide, 1.0F);
  g.observe(0, {{experts.data(), 1}, {}, {}, 1, {ones.data(), wide}});
  CHECK(predicted(g, 1) == ids{2, 1, 0});
}

TEST_CASE("next_gate refuses routers that do not fit", "[golden][next_gate]") {
  auto all = rows();
  CHECK_THROWS_AS((next_gate{shape, {all.data(), 2}}), buddy::config_error);
  CHECK_THROWS_AS((next_gate{shape, {all.data(), 3}, 0}), buddy::config_error);
  CHECK_THROWS_AS((next_gate{shape, {}}), buddy::config_error);
  all[2].size = 4;
  CHECK_THROWS_AS((next_gate{shape, {all.data(), 3}}), buddy::config_error);
}
