// SPDX-License-Identifier: Apache-2.0
// A policy refuses tables that were made for another model.
#include "catch.hpp"
#include "golden/tiny_models.hpp"

#include <buddy/buddy.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <utility>

namespace {

constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 12, .top_k = 2, .expert_bytes = 10};
constexpr buddy::model_shape fewer_layers{.n_layers = 1, .n_experts = 12, .top_k = 2, .expert_bytes = 10};
constexpr buddy::model_shape fewer_experts{.n_layers = 2, .n_experts = 11, .top_k = 2, .expert_bytes = 10};
constexpr buddy::model_shape other_bytes{.n_layers = 2, .n_experts = 12, .top_k = 2, .expert_bytes = 99};

/// What the constructor says, or nothing.
template <class Predictor, class Gate, class Selector>
std::string refusal_of(Predictor predictor, Gate gate, Selector selector) {
  try {
    buddy::policy const policy{shape, tiny::cache(shape, {.bytes = 80}), std::move(predictor), gate, selector};
  } catch (buddy::config_error const& e) {
    return e.what();
  }
  return "";
}

std::string says(std::string const& name) { return "buddy::policy: the tables of " + name + " are of another shape"; }

}  // namespace

TEST_CASE("a policy refuses a predictor of another shape", "[golden][policy]") {
  auto const with = [](auto predictor) {
    return refusal_of(std::move(predictor), tiny::masked{}, tiny::lowest_resident{});
  };
  CHECK(with(buddy::prediction::markov{other_bytes}) == "");
  CHECK(with(buddy::prediction::previous_token{other_bytes}) == "");
  for (auto const& other : {fewer_layers, fewer_experts}) {
    CHECK(with(buddy::prediction::markov{other}) == says("markov"));
    CHECK(with(buddy::prediction::previous_token{other}) == says("previous_token"));
  }
}

TEST_CASE("a policy refuses a gate with too few thresholds", "[golden][policy]") {
  std::array<buddy::q16, 2> const tau{60000, 60000};
  auto const with = [&](std::uint32_t n) {
    auto const gate = buddy::sensitivity::entropy_gate::per_layer({tau.data(), n});
    return refusal_of(tiny::foretold{}, gate, tiny::lowest_resident{});
  };
  CHECK(with(1) == says("entropy_gate"));
  CHECK(with(2) == "");
  CHECK(with(0) == "");  // one threshold for all layers
}

TEST_CASE("a policy refuses buddy lists of another shape", "[golden][policy]") {
  auto const with = [](buddy::buddy_table_ref table, buddy::view<std::uint8_t const> hops = {}) {
    return refusal_of(tiny::foretold{}, tiny::masked{}, buddy::selection::coactivation{.table = table, .hops = hops});
  };
  std::array<std::uint8_t, 12> const hops{};
  buddy::buddy_table const fitting(other_bytes, 3);
  CHECK(with(fitting.ref()) == "");
  CHECK(with(fitting.ref(), {hops.data(), 12}) == "");
  CHECK(with(fitting.ref(), {hops.data(), 11}) == says("coactivation"));
  CHECK(with(buddy::buddy_table(fewer_layers, 3).ref()) == says("coactivation"));
  CHECK(with(buddy::buddy_table(fewer_experts, 3).ref()) == says("coactivation"));
  CHECK(with({}) == says("coactivation"));  // no table at all
}
