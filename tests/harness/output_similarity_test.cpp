// SPDX-License-Identifier: Apache-2.0
/// @file
/// The three similarities of outputs against their definitions, written with loops.
#include "harness/run/output_similarity.hpp"

#include "catch.hpp"
#include "harness/model/cpu/layers.hpp"
#include "harness/random_model.hpp"
#include "harness/temporary_folder.hpp"

#include <cmath>
#include <vector>

namespace {

using rows = std::vector<std::vector<double>>;  // [n][hidden]

rows outputs_of(harness::weights const& model, buddy::expert_key k, std::vector<float> const& inputs) {
  auto const h = model.config().hidden_size;
  std::vector<float> scratch(2U * model.config().expert_hidden);
  std::vector<float> y(h);
  rows out;
  for (std::size_t t = 0; t != inputs.size() / h; ++t) {
    harness::cpu::run_expert(model.expert(k), std::span{inputs}.subspan(t * h, h), scratch, y);
    out.emplace_back(y.begin(), y.end());
  }
  return out;
}

double dot(std::vector<double> const& a, std::vector<double> const& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i != a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

rows centred(rows a) {
  for (std::size_t c = 0; c != a[0].size(); ++c) {
    double mean = 0.0;
    for (auto const& row : a) mean += row[c] / static_cast<double>(a.size());
    for (auto& row : a) row[c] -= mean;
  }
  return a;
}

/// |A'B|^2, Frobenius.
double cross(rows const& a, rows const& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i != a[0].size(); ++i) {
    for (std::size_t j = 0; j != b[0].size(); ++j) {
      double element = 0.0;
      for (std::size_t t = 0; t != a.size(); ++t) element += a[t][i] * b[t][j];
      sum += element * element;
    }
  }
  return sum;
}

double frobenius_norm(rows const& a) {
  double sum = 0.0;
  for (auto const& row : a) sum += dot(row, row);
  return std::sqrt(sum);
}

struct compared {
  double cosine{}, cka{}, frobenius{};
};

compared by_definition(rows const& a, rows const& b) {
  compared c;
  rows difference = a;
  for (std::size_t t = 0; t != a.size(); ++t) {
    c.cosine += dot(a[t], b[t]) / std::sqrt(dot(a[t], a[t]) * dot(b[t], b[t])) / static_cast<double>(a.size());
    for (std::size_t i = 0; i != a[t].size(); ++i) difference[t][i] -= b[t][i];
  }
  rows const x = centred(a);
  rows const y = centred(b);
  c.cka = cross(x, y) / std::sqrt(cross(x, x) * cross(y, y));
  c.frobenius = 1.0 - frobenius_norm(difference) / (frobenius_norm(a) + frobenius_norm(b));
  return c;
}

bool near(float x, double y) { return std::abs(x - y) < 1e-5; }

}  // namespace

TEST_CASE("an input sample is spread over the text", "[harness][output_similarity]") {
  harness::input_sample sample{1, 10, 4};
  for (int t = 0; t != 10; ++t) {
    float const x = static_cast<float>(t);
    sample.observe(0, {&x, 1});
  }
  // floor((t + 1) 4 / 10) rises at t = 2, 4, 7, 9
  auto const kept = sample.inputs(0);
  CHECK(std::vector<float>(kept.begin(), kept.end()) == std::vector<float>{2, 4, 7, 9});
  harness::input_sample all{1, 2, 256};
  for (float const x : {1.0F, 2.0F}) all.observe(0, {&x, 1});
  CHECK(all.inputs(0).size() == 2);
}

TEST_CASE("the tables of outputs are what the profile says they are", "[harness][output_similarity]") {
  temporary_folder const folder;
  random_model::write(random_model::tiny(), folder.path(), 5);
  auto const model = harness::weights::load(folder.path());
  auto const hidden = model.config().hidden_size;
  std::mt19937 random{7};
  std::normal_distribution<float> normal;
  std::vector<float> inputs(hidden * 11);
  for (float& x : inputs) x = normal(random);

  harness::input_sample sample{model.config().n_layers, 11, 11};
  for (std::uint16_t l = 0; l != model.config().n_layers; ++l)
    for (std::size_t t = 0; t != 11; ++t) sample.observe(l, std::span{inputs}.subspan(t * hidden, hidden));
  buddy::profile p;
  p.shape = model.shape();
  harness::add_output_similarity(model, sample, p);
  REQUIRE(p.output_cka.size() == std::size_t{2} * 7 * 7);

  for (std::uint16_t l = 0; l != 2; ++l) {
    for (std::uint16_t i = 0; i != 7; ++i) {
      for (std::uint16_t j = 0; j != 7; ++j) {
        auto const c = by_definition(outputs_of(model, {l, i}, inputs), outputs_of(model, {l, j}, inputs));
        auto const at = p.pair_index(l, i, j);
        CHECK(near(p.output_cosine[at], c.cosine));
        CHECK(near(p.output_cka[at], c.cka));
        CHECK(near(p.output_frobenius[at], c.frobenius));
        CHECK(p.output_cka[at] == p.output_cka[p.pair_index(l, j, i)]);
      }
      CHECK(near(p.output_frobenius[p.pair_index(l, i, i)], 1.0));
    }
  }
}
