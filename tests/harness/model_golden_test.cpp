// SPDX-License-Identifier: Apache-2.0
// The bundled models against what PyTorch computed from the same files.
#include "catch.hpp"
#include "harness/model/cpu/batch.hpp"
#include "harness/model/cpu/decoder.hpp"

#include <buddy/io/safetensors.hpp>
#include <buddy/io/tensor_values.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace {

using namespace harness;
namespace io = buddy::io;

struct golden {
  explicit golden(std::string const& name)
      : folder{std::string(BUDDY_SOURCE_DIR "/models/") + name},
        w{weights::load(folder)},
        file{io::safetensors_file::open(folder / "golden.safetensors")} {
    auto const ids = io::values<std::int32_t>(file.at("tokens"));
    n = ids.size();
    for (std::int32_t const id : ids) tokens.push_back(static_cast<std::uint8_t>(id));
    auto const& c = w.config();
    logits = io::widened(file.at("logits", io::dtype::f32, {n, c.vocab_size}));
    experts = io::values<std::uint16_t>(file.at("experts", io::dtype::u16, {n, c.n_layers, c.top_k}));
    gates = io::widened(file.at("weights", io::dtype::f32, {n, c.n_layers, c.top_k}));
    probabilities = io::widened(file.at("router_probabilities", io::dtype::f32, {n, c.n_layers, c.n_experts}));
    for (float const x : logits) largest = std::max(largest, std::abs(x));
  }

  std::filesystem::path folder;
  weights w;
  io::safetensors_file file;
  std::size_t n{};
  std::vector<std::uint8_t> tokens;
  std::vector<float> logits, gates, probabilities;
  std::vector<std::uint16_t> experts;
  float largest{};
};

float difference(std::span<float const> a, std::span<float const> b) {
  float worst = 0;
  for (std::size_t i = 0; i != b.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

}  // namespace

TEST_CASE("decoding agrees with PyTorch", "[harness][model][golden]") {
  golden const g{GENERATE(std::string("reference"), std::string("reference-plain"))};
  auto const& c = g.w.config();
  decoder d{g.w};
  kv_cache cache{c};
  all_resident own;
  float worst_logit = 0, worst_probability = 0, worst_gate = 0;
  std::size_t other_experts = 0;
  for (std::size_t t = 0; t != g.n; ++t) {
    auto const logits =
        d.step(g.tokens[t], cache, [&](std::uint16_t l, router_output const& r, std::span<float const> x) {
          std::size_t const at = t * c.n_layers + l;
          auto const p = std::span{g.probabilities}.subspan(at * c.n_experts, c.n_experts);
          worst_probability = std::max(worst_probability, difference(r.probabilities, p));
          worst_gate = std::max(worst_gate, difference(r.weights, std::span{g.gates}.subspan(at * c.top_k, c.top_k)));
          for (std::size_t s = 0; s != c.top_k; ++s) {
            std::uint16_t const expected = g.experts[at * c.top_k + s];
            // Another expert may come out only where the two are as good as equal.
            if (r.experts[s] != expected && std::abs(p[r.experts[s]] - p[expected]) > 1e-5F) ++other_experts;
          }
          return own(l, r, x);
        });
    worst_logit = std::max(worst_logit, difference(logits, std::span{g.logits}.subspan(t * 256, 256)));
  }
  CHECK(worst_logit < 1e-3F * g.largest);
  CHECK(worst_probability < 1e-3F);
  CHECK(worst_gate < 1e-3F);
  CHECK(other_experts == 0);
}

TEST_CASE("a batch agrees with PyTorch", "[harness][model][golden]") {
  golden const g{GENERATE(std::string("reference"), std::string("reference-plain"))};
  batch_runner batch{g.w};
  kv_cache cache{g.w.config()};
  CHECK(difference(batch.run(g.tokens, cache), g.logits) < 1e-3F * g.largest);
}
