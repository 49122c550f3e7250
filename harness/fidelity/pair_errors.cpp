// SPDX-License-Identifier: Apache-2.0
/// @file
/// All outputs of a layer, then the products of those that were routed with all others.
#include "harness/fidelity/pair_errors.hpp"

#include "harness/run/for_each.hpp"

#include <algorithm>
#include <vector>

namespace harness {

namespace {

/// Sums over the tokens routed to i, each weighing gate^2 / |h|^2.
struct pair_sums {
  double own{};    // of |E_i|^2
  double cross{};  // of E_i . E_j
  double other{};  // of |E_j|^2
};

class layer_pairs {
 public:
  layer_pairs(weights const& model, routed_sample const& sample, std::uint16_t layer, std::size_t most)
      : sample_{&sample}, layer_{layer}, n_experts_{model.config().n_experts}, sums_(n_experts_ * n_experts_) {
    std::size_t const n = std::min(most, sample.n_tokens());
    for (std::size_t i = 0; i != n; ++i) tokens_.push_back(i * sample.n_tokens() / n);
    cpu::row_matrix x(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(sample.hidden));
    for (std::size_t i = 0; i != n; ++i)
      x.row(static_cast<Eigen::Index>(i)) = cpu::vector(sample.input(layer, tokens_[i])).transpose();
    for (std::uint16_t e = 0; e != n_experts_; ++e) outputs_.push_back(outputs_for(model, {layer, e}, x));
    gates_squared_.resize(n_experts_);
    for (std::size_t i = 0; i != n; ++i) add(i);
  }

  void fill(buddy::profile& p) const {
    for (std::uint16_t i = 0; i != n_experts_; ++i) {
      if (!(gates_squared_[i] > 0.0)) continue;
      for (std::uint16_t j = 0; j != n_experts_; ++j) {
        pair_sums const& s = sums_[i * n_experts_ + j];
        double const scale = i == j ? 1.0 : s.other > 0.0 ? std::max(0.0, s.cross / s.other) : 0.0;
        double const left = s.own - 2.0 * scale * s.cross + scale * scale * s.other;
        std::size_t const at = p.pair_index(layer_, i, j);
        p.buddy_scales[at] = static_cast<float>(scale);
        p.buddy_errors[at] = static_cast<float>(std::max(0.0, left) / gates_squared_[i]);
      }
    }
  }

 private:
  void add(std::size_t i) {
    auto const& l = sample_->layers[layer_];
    auto const row = static_cast<Eigen::Index>(i);
    std::size_t const t = tokens_[i];
    for (std::size_t s = 0; s != sample_->top_k; ++s) {
      std::uint16_t const e = l.experts[t * sample_->top_k + s];
      double const gate = static_cast<double>(l.gates[t * sample_->top_k + s]);
      double const weight = gate * gate * static_cast<double>(l.inverse_norms[t]);
      gates_squared_[e] += gate * gate;
      auto const own = outputs_[e].row(row);
      for (std::size_t j = 0; j != n_experts_; ++j) {
        auto const other = outputs_[j].row(row);
        pair_sums& to = sums_[e * n_experts_ + j];
        to.own += weight * static_cast<double>(own.squaredNorm());
        to.cross += weight * static_cast<double>(own.dot(other));
        to.other += weight * static_cast<double>(other.squaredNorm());
      }
    }
  }

  routed_sample const* sample_;
  std::uint16_t layer_;
  std::size_t n_experts_;
  std::vector<std::size_t> tokens_;
  std::vector<cpu::row_matrix> outputs_;  // [n_experts] of [n, hidden]
  std::vector<double> gates_squared_;     // [n_experts]
  std::vector<pair_sums> sums_;           // [n_experts, n_experts]
};

}  // namespace

void add_pair_errors(weights const& model, routed_sample const& sample, std::size_t most, std::uint32_t n_threads,
                     buddy::profile& p) {
  std::size_t const n_pairs = p.shape.n_keys() * p.shape.n_experts;
  p.buddy_errors.assign(n_pairs, 0.0F);
  p.buddy_scales.assign(n_pairs, 0.0F);
  for_each(
      p.shape.n_layers, n_threads,
      [&](std::size_t l) { layer_pairs{model, sample, static_cast<std::uint16_t>(l), most}.fill(p); },
      [](std::size_t) {});
}

}  // namespace harness
