// SPDX-License-Identifier: Apache-2.0
/// @file
/// Watches the exact model.
#include "harness/fidelity/routed_sample.hpp"

#include "harness/run/stepped.hpp"

#include <algorithm>
#include <cmath>

namespace harness {

namespace {

/// Writes down what each layer reads and how long the hidden state behind it is.
class watching_moe {
 public:
  explicit watching_moe(routed_sample& sample) : sample_{&sample} {}

  void begin_sequence() noexcept {}
  void begin_step() noexcept {}

  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) {
    auto& to = sample_->layers[layer];
    to.inputs.insert(to.inputs.end(), input.begin(), input.end());
    to.experts.insert(to.experts.end(), routed.experts.begin(), routed.experts.end());
    to.gates.insert(to.gates.end(), routed.weights.begin(), routed.weights.end());
    return all_(layer, routed, input);
  }

  /// @param hidden_state  [hidden] with all experts added
  void on_layer_end(std::uint16_t layer, std::span<float const> hidden_state) {
    float const squared = cpu::vector(hidden_state).squaredNorm();
    sample_->layers[layer].inverse_norms.push_back(squared > 0.0F ? 1.0F / squared : 0.0F);
  }

 private:
  routed_sample* sample_;
  all_resident all_;
};

}  // namespace

routed_sample sample_routing(weights const& model, std::span<sequence const> set) {
  model_config const& c = model.config();
  routed_sample sample{c.hidden_size, c.top_k, {}};
  sample.layers.resize(c.n_layers);
  watching_moe moe{sample};
  step_through(model, set, moe, [](std::span<float const>) {});
  return sample;
}

expert_inputs inputs_of(routed_sample const& sample, buddy::expert_key k, std::size_t most) {
  auto const& l = sample.layers[k.layer];
  struct use {
    std::size_t token;
    float gate;
  };
  std::vector<use> uses;
  for (std::size_t i = 0; i != l.experts.size(); ++i)
    if (l.experts[i] == k.expert) uses.push_back({i / sample.top_k, l.gates[i]});
  expert_inputs in;
  in.n_routed = uses.size();
  if (uses.empty()) {
    for (std::size_t t = 0; t != sample.n_tokens(); ++t) uses.push_back({t, 1.0F});
  }
  std::size_t const n = std::min(most, uses.size());
  in.x.resize(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(sample.hidden));
  in.weight.resize(static_cast<Eigen::Index>(n));
  for (std::size_t i = 0; i != n; ++i) {
    use const& u = uses[i * uses.size() / n];
    auto const row = static_cast<Eigen::Index>(i);
    in.x.row(row) = cpu::vector(sample.input(k.layer, u.token)).transpose();
    in.weight[row] = u.gate * u.gate * l.inverse_norms[u.token];
    in.gates_squared += static_cast<double>(u.gate) * u.gate;
  }
  return in;
}

cpu::row_matrix outputs_for(weights const& model, buddy::expert_key k, cpu::row_matrix const& x) {
  expert_record const record = model.expert(k);
  auto const width = static_cast<std::size_t>(record.down.size()) / static_cast<std::size_t>(x.cols());
  cpu::row_matrix both = x * cpu::matrix(record.gate_up, 2 * width).transpose();
  auto const w = static_cast<Eigen::Index>(width);
  both.leftCols(w).array() *= both.rightCols(w).array() / (1.0F + (-both.leftCols(w).array()).exp());
  return both.leftCols(w) * cpu::matrix(record.down, static_cast<std::size_t>(x.cols())).transpose();
}

}  // namespace harness
