// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/policies/prediction/activation_map.hpp>
#include <buddy/policies/prediction/frequency.hpp>
#include <buddy/policies/prediction/markov.hpp>
#include <buddy/policies/prediction/next_gate.hpp>
#include <buddy/policies/prediction/none.hpp>
#include <buddy/policies/prediction/oracle.hpp>
#include <buddy/policies/prediction/previous_token.hpp>
#include <buddy/policies/prediction/previous_token_fill.hpp>
#include <buddy/testing/archetypes.hpp>
#include <buddy/testing/predictor_laws.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

using buddy::model_shape;
using buddy::view;
using buddy::prediction::previous_token;
using buddy::testing::broken_predictor_law;

// Every shipped predictor is listed here; a new one that is not is a review finding.
TEMPLATE_TEST_CASE("an expert predictor keeps the laws", "[conformance][expert_predictor]", buddy::prediction::none,
                   buddy::prediction::previous_token, buddy::prediction::previous_token_fill,
                   buddy::prediction::frequency, buddy::prediction::markov, buddy::prediction::activation_map,
                   buddy::testing::archetypes::predictor) {
  auto const shape =
      GENERATE(model_shape{1, 1, 1, 1}, model_shape{1, 8, 2, 1}, model_shape{3, 16, 4, 1}, model_shape{2, 70, 32, 1});
  auto const seed = GENERATE(1U, 2U, 3U);
  CHECK(broken_predictor_law<TestType>(shape, seed) == "");
}

TEST_CASE("markov keeps the laws from counts made offline", "[conformance][expert_predictor]") {
  auto const make = [](model_shape const& shape) {
    buddy::prediction::markov predictor(shape, 1);  // and when it counts one token of a batch only
    std::vector<std::uint32_t> counts(shape.n_keys() * shape.n_experts);
    for (std::size_t i = 0; i != counts.size(); ++i) counts[i] = static_cast<std::uint32_t>(i % 5);
    predictor.seed({counts.data(), static_cast<std::uint32_t>(counts.size())});
    return predictor;
  };
  CHECK(broken_predictor_law(make, model_shape{3, 16, 4, 1}, GENERATE(1U, 2U, 3U)) == "");
}

TEST_CASE("frequency keeps the laws with a moving average", "[conformance][expert_predictor]") {
  auto const make = [](model_shape const& shape) { return buddy::prediction::frequency(shape, 0.9); };
  CHECK(broken_predictor_law(make, model_shape{3, 16, 4, 1}, GENERATE(1U, 2U, 3U)) == "");
}

TEST_CASE("activation_map keeps the laws when its store is full", "[conformance][expert_predictor]") {
  auto const make = [](model_shape const& shape) { return buddy::prediction::activation_map(shape, 2); };
  CHECK(broken_predictor_law(make, model_shape{3, 16, 4, 1}, GENERATE(1U, 2U, 3U)) == "");
}

TEST_CASE("next_gate keeps the laws", "[conformance][expert_predictor]") {
  model_shape const shape{4, 16, 4, 1};
  std::vector<float> floats(shape.n_keys() * buddy::testing::law_hidden_size);
  for (std::size_t i = 0; i != floats.size(); ++i) floats[i] = static_cast<float>(i * i % 17) - 8.0F;
  std::uint32_t const size = shape.n_experts * buddy::testing::law_hidden_size;
  std::vector<view<float const>> rows;
  for (std::uint16_t l = 0; l != shape.n_layers; ++l) rows.push_back({floats.data() + std::size_t{l} * size, size});
  auto const ahead = GENERATE(std::uint16_t{1}, std::uint16_t{2}, std::uint16_t{9});
  auto const make = [&](model_shape const& s) {
    return buddy::prediction::next_gate(s, {rows.data(), static_cast<std::uint32_t>(rows.size())}, ahead);
  };
  CHECK(broken_predictor_law(make, shape, GENERATE(1U, 2U, 3U)) == "");
}

TEST_CASE("oracle keeps the laws on any trace", "[conformance][expert_predictor]") {
  model_shape const shape{2, 6, 3, 1};
  buddy::routing_trace trace;
  trace.n_layers = shape.n_layers;
  trace.n_experts = shape.n_experts;
  trace.top_k = shape.top_k;
  for (std::uint16_t t = 0; t != 40; ++t)
    for (std::uint16_t s = 0; s != 6; ++s) trace.experts.push_back(static_cast<std::uint16_t>((t + s) % 6));
  auto const recall = GENERATE(0.0, 0.5, 1.0);
  auto const make = [&](model_shape const&) { return buddy::prediction::oracle(trace, recall); };
  CHECK(broken_predictor_law(make, shape, GENERATE(1U, 2U, 3U)) == "");
}

namespace {

constexpr model_shape small{3, 8, 2, 1};

// One predictor for each law, breaking it.
struct says_too_much : previous_token {
  using previous_token::previous_token;
  std::uint32_t predict(std::uint16_t layer, view<std::uint16_t> out) noexcept {
    return std::max(previous_token::predict(layer, out), out.size) + 1;
  }
};

struct writes_past_the_end : previous_token {
  using previous_token::previous_token;
  std::uint32_t predict(std::uint16_t layer, view<std::uint16_t> out) noexcept {
    out.data[out.size] = 0;
    return previous_token::predict(layer, out);
  }
};

struct invents_experts : previous_token {
  using previous_token::previous_token;
  std::uint32_t predict(std::uint16_t, view<std::uint16_t> out) noexcept {
    std::fill(out.begin(), out.end(), small.n_experts);
    return std::min(out.size, 1U);
  }
};

struct repeats : previous_token {
  using previous_token::previous_token;
  std::uint32_t predict(std::uint16_t, view<std::uint16_t> out) noexcept {
    std::fill(out.begin(), out.end(), std::uint16_t{3});
    return out.size;
  }
};

struct knows_its_number : previous_token {
  explicit knows_its_number(model_shape const& shape) : previous_token(shape), number(made()++ % 8) {}
  std::uint32_t predict(std::uint16_t, view<std::uint16_t> out) noexcept {
    if (out.empty()) return 0;
    out[0] = number;
    return 1;
  }
  static std::uint16_t& made() {
    static std::uint16_t count = 0;
    return count;
  }
  std::uint16_t number;
};

// Keeps the router's buffer instead of what was in it.
struct keeps_the_view {
  static constexpr std::string_view name = "keeps_the_view";
  explicit keeps_the_view(model_shape const&) {}
  void observe(std::uint16_t, buddy::routing const& r) noexcept { last = r.experts; }
  std::uint32_t predict(std::uint16_t, view<std::uint16_t> out) noexcept {
    if (out.empty() || last.empty()) return 0;
    out[0] = last[0];
    return 1;
  }
  view<std::uint16_t const> last;
};

// Corrects its prediction once it knows better.
struct rewrites_the_past : previous_token {
  using previous_token::previous_token;
  std::uint32_t predict(std::uint16_t layer, view<std::uint16_t> out) noexcept {
    said = out;
    return previous_token::predict(layer, out);
  }
  void observe(std::uint16_t layer, buddy::routing const& r) noexcept {
    if (!said.empty()) said[0] = r.experts[0];
    previous_token::observe(layer, r);
  }
  view<std::uint16_t> said;
};

}  // namespace

TEST_CASE("the predictor laws catch who breaks them", "[conformance][expert_predictor]") {
  CHECK(broken_predictor_law<says_too_much>(small, 1) == "predict must write at most out.size ids");
  CHECK(broken_predictor_law<writes_past_the_end>(small, 1) == "predict must write at most out.size ids");
  CHECK(broken_predictor_law<invents_experts>(small, 1) == "predicted ids must be below n_experts");
  CHECK(broken_predictor_law<repeats>(small, 1) == "no id may be predicted twice");
  CHECK(broken_predictor_law<knows_its_number>(small, 1) ==
        "equal observations in equal order must give equal predictions");
  CHECK(broken_predictor_law<keeps_the_view>(small, 1) == "a prediction must not depend on what is observed later");
  CHECK(broken_predictor_law<rewrites_the_past>(small, 1) ==
        "a prediction must be settled before its layer is observed");
}
