// SPDX-License-Identifier: Apache-2.0
// What prediction costs at one layer for one token: to watch its routing (`observe`) and to name top-k experts of the
// next layer (`predict`), in ns. Each case checks what the last prediction says.
#include <buddy/buddy.hpp>

#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

constexpr std::uint32_t hidden_size = 2048;
constexpr std::uint16_t top_k = 8;

buddy::model_shape shape_of(benchmark::State const& state) {
  return {2, static_cast<std::uint16_t>(state.range(0)), top_k, 1};
}

/// The same text again and again: every token is routed to experts 1, 3, 5, ... at both layers.
struct text {
  std::array<std::uint16_t, top_k> experts{};
  std::vector<float> input = std::vector<float>(hidden_size, 1.0F);

  text() {
    for (std::uint16_t s = 0; s != top_k; ++s) experts[s] = static_cast<std::uint16_t>(2 * s + 1);
  }
  [[nodiscard]] buddy::routing routing() const {
    return {{experts.data(), top_k}, {}, {}, 1, {input.data(), hidden_size}};
  }
};

/// A predictor and what it reads.
template <class P>
struct subject {
  explicit subject(buddy::model_shape const& shape) : predictor(shape) {}
  P predictor;
};

/// The router likes the experts of the text, the lower ones more.
template <>
struct subject<buddy::prediction::next_gate> {
  explicit subject(buddy::model_shape const& shape)
      : router(likes(shape)),
        rows(shape.n_layers, {router.data(), static_cast<std::uint32_t>(router.size())}),
        predictor(shape, {rows.data(), shape.n_layers}) {}

  static std::vector<float> likes(buddy::model_shape const& shape) {
    std::vector<float> r(std::size_t{shape.n_experts} * hidden_size);
    for (std::uint32_t s = 0; s != top_k; ++s) r[(2 * s + 1) * hidden_size] = static_cast<float>(top_k - s);
    return r;
  }

  std::vector<float> router;
  std::vector<buddy::view<float const>> rows;
  buddy::prediction::next_gate predictor;
};

/// A few tokens, so that there is something to predict from.
template <class P>
void warm(P& predictor, text const& t) {
  for (int i = 0; i != 4; ++i) {
    if constexpr (requires { predictor.begin_sequence(); }) predictor.begin_sequence();
    for (std::uint16_t l = 0; l != 2; ++l) predictor.observe(l, t.routing());
  }
  predictor.observe(0, t.routing());
}

template <class P>
void expect_text(benchmark::State& state, P& predictor, text const& t) {
  std::array<std::uint16_t, top_k> named{};
  if (predictor.predict(1, {named.data(), top_k}) != top_k || named != t.experts)
    state.SkipWithError("the prediction is not the text's experts");
}

template <class P>
void observe(benchmark::State& state) {
  subject<P> s{shape_of(state)};
  text const t;
  warm(s.predictor, t);
  std::uint16_t layer = 1;
  for (auto _ : state) {
    s.predictor.observe(layer, t.routing());
    benchmark::ClobberMemory();
    layer ^= 1;
  }
  if (layer == 1) {
    s.predictor.observe(1, t.routing());  // ends on layer 0, like `warm`
  }
  s.predictor.observe(0, t.routing());
  expect_text(state, s.predictor, t);
}

template <class P>
void predict(benchmark::State& state) {
  subject<P> s{shape_of(state)};
  text const t;
  warm(s.predictor, t);
  std::array<std::uint16_t, top_k> named{};
  for (auto _ : state) {
    auto const n = s.predictor.predict(1, {named.data(), top_k});
    benchmark::DoNotOptimize(n);
    benchmark::ClobberMemory();
  }
  expect_text(state, s.predictor, t);
}

template <class P>
void add(char const* name) {
  auto const sized = [](benchmark::internal::Benchmark* b) { b->ArgName("experts")->Arg(64)->Arg(128)->Arg(256); };
  sized(benchmark::RegisterBenchmark((std::string{"predictor/observe/"} + name).c_str(), observe<P>));
  sized(benchmark::RegisterBenchmark((std::string{"predictor/predict/"} + name).c_str(), predict<P>));
}

}  // namespace

int main(int argc, char** argv) {
  namespace prediction = buddy::prediction;
  add<prediction::previous_token>("previous_token");
  add<prediction::previous_token_fill>("previous_token_fill");
  add<prediction::frequency>("frequency");
  add<prediction::markov>("markov");
  add<prediction::next_gate>("next_gate");
  add<prediction::activation_map>("activation_map");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
