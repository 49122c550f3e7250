// SPDX-License-Identifier: Apache-2.0
/// @file
/// The parts of one batch.
#include "harness/model/cpu/batch.hpp"

#include "harness/model/cpu/eigen_maps.hpp"

#include <buddy/assert.hpp>

#include <algorithm>
#include <cmath>

namespace harness {

namespace {

/// Queries that attend together: bounds the score matrix.
constexpr std::size_t block_size = 64;

/// Grows, never shrinks, and shows the part in use.
template <class T>
std::span<T> part(std::vector<T>& all, std::size_t size) {
  if (all.size() < size) all.resize(size);
  return std::span<T>{all}.first(size);
}

template <class T>
std::span<T> row(std::span<T> all, std::size_t r, std::size_t size) {
  return all.subspan(r * size, size);
}

template <class T>
void copy_row(std::span<T const> from, std::span<T> to) {
  std::copy(from.begin(), from.end(), to.begin());
}

}  // namespace

std::span<float const> batch_runner::run(std::span<std::uint8_t const> tokens, kv_cache& cache,
                                         std::function<void(layer_batch const&)> const& observe) {
  BUDDY_ASSERT(cache.size() + tokens.size() <= cache.capacity());
  model_config const& c = weights_->config();
  n_ = tokens.size();
  if (n_ == 0) return {};
  begin(tokens);
  for (std::size_t l = 0; l != c.n_layers; ++l) {
    attend(l, cache);
    route(l);
    sort_by_expert();
    run_experts(l);
    if (observe)
      observe({static_cast<std::uint16_t>(l), n_, part(normed_, n_ * c.hidden_size),
               part(probabilities_, n_ * c.n_experts), part(experts_, n_ * c.top_k), part(gates_, n_ * c.top_k),
               part(outputs_, n_ * c.top_k * c.hidden_size)});
  }
  cache.advance(n_);
  auto const logits = part(logits_, n_ * c.vocab_size);
  auto const normed = part(normed_, n_ * c.hidden_size);
  for (std::size_t t = 0; t != n_; ++t)
    cpu::rms_norm(row(std::span{residual_}, t, c.hidden_size), weights_->final_norm(), c.rms_eps,
                  row(normed, t, c.hidden_size));
  cpu::multiply_rows(n_, normed, weights_->head(), logits);
  return logits;
}

void batch_runner::begin(std::span<std::uint8_t const> tokens) {
  std::size_t const d = weights_->config().hidden_size;
  auto const residual = part(residual_, n_ * d);
  for (std::size_t t = 0; t != n_; ++t) copy_row(row(weights_->embedding(), tokens[t], d), row(residual, t, d));
}

void batch_runner::attend(std::size_t layer, kv_cache& cache) {
  model_config const& c = weights_->config();
  layer_weights const& w = weights_->layer(layer);
  std::size_t const d = c.hidden_size;
  auto const residual = part(residual_, n_ * d);
  auto const normed = part(normed_, n_ * d);
  for (std::size_t t = 0; t != n_; ++t) cpu::rms_norm(row(residual, t, d), w.input_norm, c.rms_eps, row(normed, t, d));
  cpu::multiply_rows(n_, normed, w.qkv, part(qkv_, n_ * (c.q_size() + 2 * c.kv_size())));
  store_keys(layer, cache);
  for (std::size_t h = 0; h != c.n_heads; ++h) attend_head(layer, h, cache);
  auto const projected = part(projected_, n_ * d);
  cpu::multiply_rows(n_, part(attended_, n_ * c.q_size()), w.output, projected);
  cpu::vector(residual) += cpu::vector(projected);
}

void batch_runner::store_keys(std::size_t layer, kv_cache& cache) {
  model_config const& c = weights_->config();
  std::size_t const width = c.q_size() + 2 * c.kv_size();
  for (std::size_t t = 0; t != n_; ++t) {
    auto const qkv = row(std::span{qkv_}, t, width);
    std::size_t const position = cache.size() + t;
    for (std::size_t h = 0; h != c.n_kv_heads; ++h) {
      auto const key = qkv.subspan(c.q_size() + h * c.head_dim, c.head_dim);
      auto const value = qkv.subspan(c.q_size() + c.kv_size() + h * c.head_dim, c.head_dim);
      cpu::rms_norm(key, weights_->layer(layer).k_norm, c.rms_eps, key);
      rope_.rotate(key, position);
      copy_row<float>(key, row(cache.keys(layer, h), position, c.head_dim));
      copy_row<float>(value, row(cache.values(layer, h), position, c.head_dim));
    }
  }
}

void batch_runner::attend_head(std::size_t layer, std::size_t head, kv_cache& cache) {
  model_config const& c = weights_->config();
  std::size_t const kv_head = head / (c.n_heads / c.n_kv_heads);
  auto const attended = part(attended_, n_ * c.q_size());
  for (std::size_t first = 0; first < n_; first += block_size) {
    std::size_t const size = std::min(block_size, n_ - first);
    std::size_t const seen = cache.size() + first + size;  // by the block's last query
    auto const queries = gather_queries(layer, head, first, size, cache.size());
    auto const scores = part(scores_, size * seen);
    cpu::multiply_rows(size, queries, cache.keys(layer, kv_head).first(seen * c.head_dim), scores);
    for (std::size_t i = 0; i != size; ++i) {
      std::size_t const visible = seen - size + i + 1;
      cpu::softmax(row(scores, i, seen).first(visible));
      std::ranges::fill(row(scores, i, seen).subspan(visible), 0.0F);
    }
    auto const mixed = part(mixed_, size * c.head_dim);
    std::span<float const> const values = cache.values(layer, kv_head).first(seen * c.head_dim);
    cpu::matrix(mixed, size).noalias() = cpu::matrix(scores, size) * cpu::matrix(values, seen);
    for (std::size_t i = 0; i != size; ++i)
      copy_row<float>(row(mixed, i, c.head_dim),
                      row(attended, first + i, c.q_size()).subspan(head * c.head_dim, c.head_dim));
  }
}

std::span<float const> batch_runner::gather_queries(std::size_t layer, std::size_t head, std::size_t first,
                                                    std::size_t size, std::size_t position) {
  model_config const& c = weights_->config();
  std::size_t const width = c.q_size() + 2 * c.kv_size();
  auto const queries = part(queries_, size * c.head_dim);
  for (std::size_t i = 0; i != size; ++i) {
    auto const query = row(queries, i, c.head_dim);
    copy_row<float>(row(std::span{qkv_}, first + i, width).subspan(head * c.head_dim, c.head_dim), query);
    cpu::rms_norm(query, weights_->layer(layer).q_norm, c.rms_eps, query);
    rope_.rotate(query, position + first + i);
  }
  cpu::vector(queries) *= 1.0F / std::sqrt(static_cast<float>(c.head_dim));
  return queries;
}

void batch_runner::route(std::size_t layer) {
  model_config const& c = weights_->config();
  layer_weights const& w = weights_->layer(layer);
  std::size_t const d = c.hidden_size;
  auto const normed = part(normed_, n_ * d);
  for (std::size_t t = 0; t != n_; ++t)
    cpu::rms_norm(row(std::span{residual_}, t, d), w.expert_norm, c.rms_eps, row(normed, t, d));
  auto const probabilities = part(probabilities_, n_ * c.n_experts);
  auto const experts = part(experts_, n_ * c.top_k);
  auto const gates = part(gates_, n_ * c.top_k);
  cpu::multiply_rows(n_, normed, w.router, probabilities);
  for (std::size_t t = 0; t != n_; ++t) {
    auto const p = row(probabilities, t, c.n_experts);
    cpu::softmax(p);
    cpu::choose_top_k(p, c.normalise_top_k, row(experts, t, c.top_k), row(gates, t, c.top_k));
  }
}

void batch_runner::sort_by_expert() {
  model_config const& c = weights_->config();
  auto const experts = part(experts_, n_ * c.top_k);
  auto const slots = part(slots_, experts.size());
  begins_.assign(c.n_experts + 1, 0);
  for (std::uint16_t const e : experts) ++begins_[e + 1U];
  for (std::size_t e = 0; e != c.n_experts; ++e) begins_[e + 1] += begins_[e];
  for (std::size_t s = 0; s != experts.size(); ++s) slots[begins_[experts[s]]++] = s;
  // Each begin has moved to its end, which is the next one's begin.
  std::copy_backward(begins_.begin(), begins_.end() - 1, begins_.end());
  begins_[0] = 0;
}

void batch_runner::run_experts(std::size_t layer) {
  model_config const& c = weights_->config();
  std::size_t const d = c.hidden_size;
  for (std::size_t e = 0; e != c.n_experts; ++e)
    if (begins_[e] != begins_[e + 1]) run_one_expert(layer, e);
  auto const residual = part(residual_, n_ * d);
  auto const outputs = part(outputs_, n_ * c.top_k * d);
  for (std::size_t s = 0; s != n_ * c.top_k; ++s)
    cpu::vector(row(residual, s / c.top_k, d)) += gates_[s] * cpu::vector(row(outputs, s, d));
}

void batch_runner::run_one_expert(std::size_t layer, std::size_t expert) {
  model_config const& c = weights_->config();
  std::size_t const d = c.hidden_size;
  std::size_t const hidden = c.expert_hidden;
  auto const slots = std::span{slots_}.subspan(begins_[expert], begins_[expert + 1] - begins_[expert]);
  std::size_t const n = slots.size();
  auto const gathered = part(gathered_, n * d);
  for (std::size_t i = 0; i != n; ++i)
    copy_row<float>(row(std::span{normed_}, slots[i] / c.top_k, d), row(gathered, i, d));
  auto const record = weights_->expert({static_cast<std::uint16_t>(layer), static_cast<std::uint16_t>(expert)});
  auto const gate_up = part(gate_up_, n * 2 * hidden);
  cpu::multiply_rows(n, gathered, record.gate_up, gate_up);
  auto const gated = part(gated_, n * hidden);
  for (std::size_t i = 0; i != n; ++i) {
    auto const both = row(gate_up, i, 2 * hidden);
    cpu::swiglu(both.first(hidden), both.subspan(hidden));
    copy_row<float>(both.first(hidden), row(gated, i, hidden));
  }
  auto const produced = part(produced_, n * d);
  cpu::multiply_rows(n, gated, record.down, produced);
  auto const outputs = part(outputs_, n_ * c.top_k * d);
  for (std::size_t i = 0; i != n; ++i) copy_row<float>(row(produced, i, d), row(outputs, slots[i], d));
}

}  // namespace harness
