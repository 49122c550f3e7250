// SPDX-License-Identifier: Apache-2.0
// How fast the bundled model decodes on one core: what a run of the harness is made of.
#include "harness/model/cpu/decoder.hpp"
#include "harness/model/cpu/kv_cache.hpp"
#include "harness/model/weights.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace {

harness::weights const& model() {
  static auto const loaded = harness::weights::load(BUDDY_SOURCE_DIR "/models/reference");
  return loaded;
}

std::vector<std::uint8_t> text(std::size_t n) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i != n; ++i)
    bytes.push_back(static_cast<std::uint8_t>("the router asks for experts. "[i % 29]));
  return bytes;
}

/// Windows of 256 tokens, one token at a time, all experts resident.
void stepped(benchmark::State& state) {
  harness::decoder decoder{model()};
  harness::kv_cache cache{model().config()};
  harness::all_resident moe;
  auto const bytes = text(256);
  std::size_t i = 0;
  bool finite = true;
  for (auto _ : state) {
    if (i == bytes.size()) cache.reset(), i = 0;
    finite &= std::isfinite(decoder.step(bytes[i++], cache, moe)[0]);
  }
  if (!finite) state.SkipWithError("a logit is not finite");
  state.SetItemsProcessed(state.iterations());
}

}  // namespace

BENCHMARK(stepped)->Name("decode/stepped/reference");
BENCHMARK_MAIN();
