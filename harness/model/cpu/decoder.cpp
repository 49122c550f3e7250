// SPDX-License-Identifier: Apache-2.0
/// @file
/// The parts of one decoding step.
#include "harness/model/cpu/decoder.hpp"

#include "harness/model/cpu/eigen_maps.hpp"

#include <algorithm>
#include <cmath>

namespace harness {

namespace {

std::size_t work_space(model_config const& c) {
  std::size_t total = 0;
  for (std::size_t const size :
       {std::size_t{c.hidden_size} * 3, c.q_size() * 2 + c.kv_size() * 2, std::size_t{c.max_positions},
        std::size_t{c.n_experts}, std::size_t{c.top_k}, std::size_t{c.expert_hidden} * 2, std::size_t{c.vocab_size}})
    total += size + 3 * 15;  // each line stands for at most three arrays, each padded to 16
  return total;
}

}  // namespace

decoder::decoder(weights const& w)
    : weights_{&w}, rope_{w.config()}, storage_{work_space(w.config())}, experts_(w.config().top_k) {
  model_config const& c = w.config();
  residual_ = take(c.hidden_size);
  normed_ = take(c.hidden_size);
  output_ = take(c.hidden_size);
  qkv_ = take(c.q_size() + 2 * c.kv_size());
  attended_ = take(c.q_size());
  scores_ = take(c.max_positions);
  probabilities_ = take(c.n_experts);
  gates_ = take(c.top_k);
  scratch_ = take(std::size_t{2} * c.expert_hidden);
  logits_ = take(c.vocab_size);
}

std::span<float> decoder::take(std::size_t size) noexcept {
  auto const part = storage_.all().subspan(taken_, size);
  taken_ += aligned_floats::padded(size);
  return part;
}

void decoder::begin(std::uint8_t token) noexcept {
  auto const row = weights_->embedding().subspan(token * residual_.size(), residual_.size());
  std::copy(row.begin(), row.end(), residual_.begin());
}

void decoder::attend(std::size_t layer, kv_cache& cache) noexcept {
  model_config const& c = weights_->config();
  layer_weights const& w = weights_->layer(layer);
  cpu::rms_norm(residual_, w.input_norm, c.rms_eps, normed_);
  cpu::multiply(w.qkv, normed_, qkv_);
  for (std::size_t h = 0; h != c.n_kv_heads; ++h) {
    auto const key = qkv_.subspan(c.q_size() + h * c.head_dim, c.head_dim);
    auto const value = qkv_.subspan(c.q_size() + c.kv_size() + h * c.head_dim, c.head_dim);
    cpu::rms_norm(key, w.k_norm, c.rms_eps, key);
    rope_.rotate(key, cache.size());
    std::copy(key.begin(), key.end(),
              cache.keys(layer, h).begin() + static_cast<std::ptrdiff_t>(cache.size() * c.head_dim));
    std::copy(value.begin(), value.end(),
              cache.values(layer, h).begin() + static_cast<std::ptrdiff_t>(cache.size() * c.head_dim));
  }
  for (std::size_t h = 0; h != c.n_heads; ++h) attend_head(layer, h, cache);
  cpu::multiply(w.output, attended_, output_);
  cpu::vector(residual_) += cpu::vector(output_);
}

void decoder::attend_head(std::size_t layer, std::size_t head, kv_cache& cache) noexcept {
  model_config const& c = weights_->config();
  std::size_t const n = cache.size() + 1;  // the present token sees itself
  std::size_t const kv_head = head / (c.n_heads / c.n_kv_heads);
  auto const query = qkv_.subspan(head * c.head_dim, c.head_dim);
  auto const scores = scores_.first(n);
  cpu::rms_norm(query, weights_->layer(layer).q_norm, c.rms_eps, query);
  rope_.rotate(query, cache.size());
  cpu::vector(query) *= 1.0F / std::sqrt(static_cast<float>(c.head_dim));
  cpu::multiply(cache.keys(layer, kv_head).first(n * c.head_dim), query, scores);
  cpu::softmax(scores);
  auto const values = cpu::matrix(std::span<float const>{cache.values(layer, kv_head).first(n * c.head_dim)}, n);
  cpu::vector(attended_.subspan(head * c.head_dim, c.head_dim)).noalias() = values.transpose() * cpu::vector(scores);
}

router_output decoder::route(std::size_t layer) noexcept {
  model_config const& c = weights_->config();
  layer_weights const& w = weights_->layer(layer);
  cpu::rms_norm(residual_, w.expert_norm, c.rms_eps, normed_);
  cpu::multiply(w.router, normed_, probabilities_);
  cpu::softmax(probabilities_);
  cpu::choose_top_k(probabilities_, c.normalise_top_k, experts_, gates_);
  return {experts_, gates_, probabilities_, cpu::vector(std::span<float const>{residual_}).norm()};
}

std::span<float const> decoder::run(std::uint16_t layer, expert_use const& use) noexcept {
  BUDDY_ASSERT(use.expert < weights_->config().n_experts);
  cpu::run_expert(weights_->expert({layer, use.expert}), normed_, scratch_, output_);
  return output_;
}

void decoder::add(float weight) noexcept { cpu::vector(residual_) += weight * cpu::vector(output_); }

std::span<float const> decoder::finish() noexcept {
  cpu::rms_norm(residual_, weights_->final_norm(), weights_->config().rms_eps, normed_);
  cpu::multiply(weights_->head(), normed_, logits_);
  return logits_;
}

}  // namespace harness
