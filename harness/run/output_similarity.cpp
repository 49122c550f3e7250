// SPDX-License-Identifier: Apache-2.0
/// @file
/// Outputs of all experts, then every pair of them.
#include "harness/run/output_similarity.hpp"

#include "harness/model/cpu/eigen_maps.hpp"
#include "harness/model/cpu/layers.hpp"

#include <algorithm>
#include <cmath>

namespace harness {

namespace {

using matrix = Eigen::MatrixXd;

/// One expert's outputs on the sample, and what is asked of them again and again.
struct expert_outputs {
  matrix values;          // [n, hidden_size]
  Eigen::VectorXd norms;  // [n] of the rows
  double norm{};          // Frobenius
  matrix gram;            // [n, n] products of the rows, the columns' means taken off
  double gram_norm{};
};

expert_outputs outputs_of(weights const& model, buddy::expert_key k, std::span<float const> inputs) {
  model_config const& c = model.config();
  auto const n = inputs.size() / c.hidden_size;
  std::vector<float> scratch(std::size_t{2} * c.expert_hidden);
  std::vector<float> y(c.hidden_size);
  expert_outputs out;
  out.values.resize(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(c.hidden_size));
  for (std::size_t t = 0; t != n; ++t) {
    cpu::run_expert(model.expert(k), inputs.subspan(t * c.hidden_size, c.hidden_size), scratch, y);
    out.values.row(static_cast<Eigen::Index>(t)) = cpu::vector(std::span<float const>{y}).cast<double>().transpose();
  }
  out.norms = out.values.rowwise().norm();
  out.norm = out.values.norm();
  matrix const centred = out.values.rowwise() - out.values.colwise().mean();
  out.gram.noalias() = centred * centred.transpose();
  out.gram_norm = out.gram.norm();
  return out;
}

/// x / y, or 0 where there is nothing to compare.
double ratio(double x, double y) { return y > 0.0 ? x / y : 0.0; }

/// Mean cosine of the rows.
double mean_cosine(expert_outputs const& a, expert_outputs const& b) {
  Eigen::VectorXd const products = a.values.cwiseProduct(b.values).rowwise().sum();
  double sum = 0.0;
  for (Eigen::Index t = 0; t != products.size(); ++t) sum += ratio(products[t], a.norms[t] * b.norms[t]);
  return sum / static_cast<double>(products.size());
}

/// Linear CKA: |A'B|^2 / (|A'A| |B'B|), which is the cosine of the two matrices of row products.
double linear_cka(expert_outputs const& a, expert_outputs const& b) {
  return ratio(a.gram.cwiseProduct(b.gram).sum(), a.gram_norm * b.gram_norm);
}

double frobenius(expert_outputs const& a, expert_outputs const& b) {
  double const sum = a.norm + b.norm;
  return sum > 0.0 ? 1.0 - (a.values - b.values).norm() / sum : 0.0;
}

}  // namespace

input_sample::input_sample(std::size_t n_layers, std::size_t n_tokens, std::size_t wanted)
    : n_tokens_{n_tokens}, wanted_{std::min(wanted, n_tokens)}, seen_(n_layers, 0), inputs_(n_layers) {}

void input_sample::observe(std::uint16_t layer, std::span<float const> input) {
  std::size_t const t = seen_[layer]++;
  if ((t + 1) * wanted_ / n_tokens_ == t * wanted_ / n_tokens_) return;
  inputs_[layer].insert(inputs_[layer].end(), input.begin(), input.end());
}

void add_output_similarity(weights const& model, input_sample const& sample, buddy::profile& p) {
  for (auto* const table : {&p.output_cosine, &p.output_cka, &p.output_frobenius})
    table->assign(p.shape.n_keys() * p.shape.n_experts, 0.0F);
  for (std::uint16_t l = 0; l != p.shape.n_layers; ++l) {
    std::vector<expert_outputs> outputs;
    for (std::uint16_t e = 0; e != p.shape.n_experts; ++e)
      outputs.push_back(outputs_of(model, {l, e}, sample.inputs(l)));
    auto const set = [&](std::vector<float>& table, std::uint16_t i, std::uint16_t j, double x) {
      table[p.pair_index(l, i, j)] = table[p.pair_index(l, j, i)] = static_cast<float>(x);
    };
    for (std::uint16_t i = 0; i != p.shape.n_experts; ++i) {
      for (std::uint16_t j = 0; j <= i; ++j) {
        set(p.output_cosine, i, j, mean_cosine(outputs[i], outputs[j]));
        set(p.output_cka, i, j, linear_cka(outputs[i], outputs[j]));
        set(p.output_frobenius, i, j, frobenius(outputs[i], outputs[j]));
      }
    }
  }
}

}  // namespace harness
