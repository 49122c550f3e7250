// SPDX-License-Identifier: Apache-2.0
/// @file
/// The small functions of the transformer, with Eigen's vector arithmetic.
#include "harness/model/cpu/layers.hpp"

#include "harness/model/cpu/eigen_maps.hpp"

#include <cmath>

namespace harness::cpu {

void rms_norm(std::span<float const> x, std::span<float const> gain, float eps, std::span<float> y) noexcept {
  float const mean = vector(x).squaredNorm() / static_cast<float>(x.size());
  float const scale = 1.0F / std::sqrt(mean + eps);
  vector(y).array() = vector(x).array() * scale * vector(gain).array();
}

void softmax(std::span<float> x) noexcept {
  auto v = vector(x).array();
  v = (v - v.maxCoeff()).exp();
  v *= 1.0F / v.sum();
}

void swiglu(std::span<float> gate, std::span<float const> up) noexcept {
  auto g = vector(gate).array();
  g = g / (1.0F + (-g).exp()) * vector(up).array();
}

void choose_top_k(std::span<float const> probabilities, bool normalise, std::span<std::uint16_t> experts,
                  std::span<float> gates) noexcept {
  std::size_t const k = experts.size();
  std::size_t n = 0;  // found so far
  for (std::size_t e = 0; e != probabilities.size(); ++e) {
    float const p = probabilities[e];
    if (n == k && !(p > gates[k - 1])) continue;
    std::size_t at = n == k ? k - 1 : n++;
    for (; at != 0 && p > gates[at - 1]; --at) {
      gates[at] = gates[at - 1];
      experts[at] = experts[at - 1];
    }
    gates[at] = p;
    experts[at] = static_cast<std::uint16_t>(e);
  }
  if (normalise) vector(gates) *= 1.0F / vector(gates).sum();
}

void run_expert(expert_record const& record, std::span<float const> x, std::span<float> scratch,
                std::span<float> y) noexcept {
  std::size_t const hidden = scratch.size() / 2;
  multiply(record.gate_up, x, scratch);
  swiglu(scratch.first(hidden), scratch.subspan(hidden));
  multiply(record.down, scratch.first(hidden), y);
}

rope_table::rope_table(model_config const& config)
    : half_{config.head_dim / 2}, cosines_{config.max_positions * half_}, sines_{config.max_positions * half_} {
  for (std::size_t i = 0; i != half_; ++i) {
    float const exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    float const frequency = 1.0F / std::pow(config.rope_theta, exponent);
    for (std::size_t p = 0; p != config.max_positions; ++p) {
      float const angle = static_cast<float>(p) * frequency;
      cosines_.all()[p * half_ + i] = std::cos(angle);
      sines_.all()[p * half_ + i] = std::sin(angle);
    }
  }
}

void rope_table::rotate(std::span<float> head, std::size_t position) const noexcept {
  auto const c = vector(cosines_.all().subspan(position * half_, half_)).array();
  auto const s = vector(sines_.all().subspan(position * half_, half_)).array();
  float* const a = head.data();
  float* const b = head.data() + half_;
  for (std::size_t i = 0; i != half_; ++i) {
    auto const at = static_cast<Eigen::Index>(i);
    float const x = a[i];
    float const y = b[i];
    a[i] = x * c[at] - y * s[at];
    b[i] = y * c[at] + x * s[at];
  }
}

}  // namespace harness::cpu
