// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "harness/model/cpu/batch.hpp"
#include "harness/model/cpu/decoder.hpp"
#include "random_model.hpp"
#include "relative_difference.hpp"
#include "temporary_folder.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

namespace {

using namespace harness;

/// Bytes without a pattern: splitmix64's increment walks through all of them.
std::vector<std::uint8_t> bytes(std::size_t n) {
  std::vector<std::uint8_t> out(n);
  for (std::size_t i = 0; i != n; ++i) out[i] = static_cast<std::uint8_t>((i * 0x9E3779B97F4A7C15U) >> 56);
  return out;
}

struct loaded {
  explicit loaded(model_config const& c) : config{c} {
    random_model::write(c, folder.path(), 1);
    w = weights::load(folder.path());
  }
  temporary_folder folder;
  model_config config;
  weights w;
};

}  // namespace

TEST_CASE("decoding follows the model's definition", "[harness][model]") {
  model_config c = random_model::tiny();
  c.normalise_top_k = GENERATE(true, false);
  c.tied_embeddings = GENERATE(false, true);
  c.n_kv_heads = GENERATE(1U, 2U, 4U);
  loaded const m{c};
  random_model::naive_model naive{c, m.folder.path()};
  decoder d{m.w};
  kv_cache cache{c};
  double worst = 0;
  for (std::uint8_t const token : bytes(20))
    worst = std::max(worst, relative_difference(d.step(token, cache, all_resident{}), naive.step(token)));
  CHECK(worst < 1e-4);  // f32 sums against f64 sums of at most 100 terms
}

TEST_CASE("a batch gives what single steps give, also when it continues a sequence", "[harness][model]") {
  loaded const m{random_model::tiny()};
  auto const text = bytes(90);  // more than one block of 64 queries
  decoder d{m.w};
  batch_runner batch{m.w};
  kv_cache stepped{m.config}, batched{m.config};
  std::vector<float> all;
  for (std::uint8_t const token : text) {
    auto const logits = d.step(token, stepped, all_resident{});
    all.insert(all.end(), logits.begin(), logits.end());
  }
  std::size_t const first = GENERATE(90, 1, 7, 70);
  auto const a = batch.run(std::span{text}.first(first), batched);
  CHECK(relative_difference(a, std::span{all}.first(first * 256)) < 1e-4);
  if (first != 90) {
    auto const b = batch.run(std::span{text}.subspan(first), batched);
    CHECK(relative_difference(b, std::span{all}.subspan(first * 256)) < 1e-4);
  }
  CHECK(batched.size() == 90);
}

TEST_CASE("a reset cache begins a new sequence", "[harness][model]") {
  loaded const m{random_model::tiny()};
  decoder d{m.w};
  kv_cache cache{m.config};
  auto const copy = [](std::span<float const> x) { return std::vector<float>(x.begin(), x.end()); };
  auto const first = copy(d.step(65, cache, all_resident{}));
  auto const second = copy(d.step(65, cache, all_resident{}));
  cache.reset();
  CHECK(copy(d.step(65, cache, all_resident{})) == first);
  CHECK(copy(d.step(65, cache, all_resident{})) == second);
  CHECK(first != second);
}

namespace {

/// Writes down everything the decoder tells a policy, and answers with the router's own choice.
struct recorder {
  all_resident inner;
  std::vector<std::uint16_t> layers, experts;
  std::vector<float> weights, probabilities, inputs, outputs;

  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& r, std::span<float const> input) {
    layers.push_back(layer);
    experts.insert(experts.end(), r.experts.begin(), r.experts.end());
    weights.insert(weights.end(), r.weights.begin(), r.weights.end());
    probabilities.insert(probabilities.end(), r.probabilities.begin(), r.probabilities.end());
    inputs.insert(inputs.end(), input.begin(), input.end());
    return inner(layer, r, input);
  }
  void on_expert_output(std::uint16_t, expert_use const&, std::span<float const> output) {
    outputs.insert(outputs.end(), output.begin(), output.end());
  }
};

}  // namespace

TEST_CASE("router, inputs and expert outputs are shown alike by steps and batches", "[harness][model]") {
  loaded const m{random_model::tiny()};
  auto const text = bytes(30);
  decoder d{m.w};
  kv_cache cache{m.config}, batched{m.config};
  std::vector<recorder> steps(text.size());
  for (std::size_t t = 0; t != text.size(); ++t) d.step(text[t], cache, steps[t]);
  CHECK(steps[0].layers == std::vector<std::uint16_t>{0, 1});
  std::size_t seen = 0;
  batch_runner{m.w}.run(text, batched, [&](layer_batch const& b) {
    ++seen;
    for (std::size_t t = 0; t != b.n_tokens; ++t) {
      // Layer l of a recorder begins at l times the size of one layer: 3 slots, 7 experts, 24 hidden.
      auto const same = [&](auto const& recorded, auto const& shown, std::size_t size) {
        return relative_difference(std::span{recorded}.subspan(b.layer * size, size), shown.subspan(t * size, size));
      };
      CHECK(same(steps[t].experts, b.experts, 3) == 0.0);
      CHECK(same(steps[t].weights, b.weights, 3) < 1e-4);
      CHECK(same(steps[t].probabilities, b.probabilities, 7) < 1e-4);
      CHECK(same(steps[t].inputs, b.inputs, 24) < 1e-4);
      CHECK(same(steps[t].outputs, b.outputs, 3 * 24) < 1e-4);
    }
  });
  CHECK(seen == 2);
}

TEST_CASE("an expert of weight 0 is left out exactly", "[harness][model]") {
  loaded const m{random_model::tiny()};
  decoder d{m.w};
  kv_cache cache{m.config};
  std::vector<expert_use> uses;
  auto const with = [&](std::vector<expert_use> const& wanted) {
    cache.reset();
    auto const logits = d.step(7, cache, [&](std::uint16_t, router_output const&, std::span<float const>) {
      uses = wanted;
      return std::span<expert_use const>{uses};
    });
    return std::vector<float>(logits.begin(), logits.end());
  };
  auto const expected = with({{4, 0.5F}, {2, 0.25F}});
  CHECK(with({{4, 0.5F}, {1, 0.0F}, {2, 0.25F}}) == expected);
  CHECK(with({{4, 0.5F}, {1, 0.125F}, {2, 0.25F}}) != expected);
}

TEST_CASE("the most probable experts come first and ties go to the lower id", "[harness][model]") {
  std::vector<float> const p{0.1F, 0.3F, 0.1F, 0.3F, 0.2F};
  std::vector<std::uint16_t> experts(4);
  std::vector<float> gates(4);
  cpu::choose_top_k(p, false, experts, gates);
  CHECK(experts == std::vector<std::uint16_t>{1, 3, 4, 0});
  CHECK(gates == std::vector<float>{0.3F, 0.3F, 0.2F, 0.1F});
  cpu::choose_top_k(p, true, experts, gates);  // sum 0.9
  CHECK(std::abs(gates[0] - 1.0F / 3.0F) < 1e-6F);
  CHECK(std::abs(gates[3] - 1.0F / 9.0F) < 1e-6F);
}
