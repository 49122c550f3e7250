// SPDX-License-Identifier: Apache-2.0
/// @file
/// Writes model folders with random weights, and computes such a model the slow way, straight from the file.
#pragma once

#include "harness/model/config.hpp"

#include <buddy/io/half.hpp>
#include <buddy/io/safetensors.hpp>
#include <buddy/io/safetensors_writer.hpp>
#include <buddy/io/tensor_values.hpp>
#include <buddy/io/write_file.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace random_model {

/// Small, and no two sizes are alike, so that a mixed-up axis cannot pass.
inline harness::model_config tiny() {
  harness::model_config c;
  c.hidden_size = 24;
  c.n_layers = 2;
  c.n_heads = 4;
  c.n_kv_heads = 2;
  c.head_dim = 10;
  c.n_experts = 7;
  c.top_k = 3;
  c.expert_hidden = 9;
  c.max_positions = 100;
  c.vocab_size = 256;
  c.rms_eps = 1e-6F;
  c.rope_theta = 10000.0F;
  c.normalise_top_k = true;
  return c;
}

inline nlohmann::json json_of(harness::model_config const& c) {
  return {{"model_type", "qwen3_moe"},
          {"hidden_size", c.hidden_size},
          {"num_hidden_layers", c.n_layers},
          {"num_attention_heads", c.n_heads},
          {"num_key_value_heads", c.n_kv_heads},
          {"head_dim", c.head_dim},
          {"num_experts", c.n_experts},
          {"num_experts_per_tok", c.top_k},
          {"moe_intermediate_size", c.expert_hidden},
          {"norm_topk_prob", c.normalise_top_k},
          {"rms_norm_eps", c.rms_eps},
          {"rope_theta", c.rope_theta},
          {"max_position_embeddings", c.max_positions},
          {"vocab_size", c.vocab_size},
          {"tie_word_embeddings", c.tied_embeddings},
          {"mlp_only_layers", nlohmann::json::array()},
          {"decoder_sparse_step", 1},
          {"attention_bias", false},
          {"hidden_act", "silu"}};
}

/// f16 weights of unit gain: normal with deviation 1 / sqrt(inputs), norms around 1.
class writer {
 public:
  explicit writer(std::uint32_t seed) : random_{seed} {}

  void matrix(std::string const& name, std::uint64_t rows, std::uint64_t columns) {
    fill(name, {rows, columns}, 0.0F, 1.0F / std::sqrt(static_cast<float>(columns)));
  }
  void norm(std::string const& name, std::uint64_t size) { fill(name, {size}, 1.0F, 0.2F); }
  void write(std::filesystem::path const& file) const { out_.write(file); }

 private:
  void fill(std::string const& name, buddy::io::tensor_shape const& shape, float mean, float deviation) {
    std::normal_distribution<float> normal{mean, deviation};
    std::vector<std::uint16_t> bits(*buddy::io::checked_bytes(buddy::io::dtype::u8, shape));
    for (auto& b : bits) b = buddy::io::f32_to_f16(normal(random_));
    out_.add(name, buddy::io::dtype::f16, shape, std::as_bytes(std::span{bits}));
  }

  std::mt19937 random_;
  buddy::io::safetensors_writer out_;
};

/// Writes config.json and model.safetensors.
inline void write(harness::model_config const& c, std::filesystem::path const& folder, std::uint32_t seed) {
  writer w{seed};
  w.matrix("model.embed_tokens.weight", c.vocab_size, c.hidden_size);
  w.norm("model.norm.weight", c.hidden_size);
  if (!c.tied_embeddings) w.matrix("lm_head.weight", c.vocab_size, c.hidden_size);
  for (std::uint32_t l = 0; l != c.n_layers; ++l) {
    std::string const at = "model.layers." + std::to_string(l) + ".";
    w.norm(at + "input_layernorm.weight", c.hidden_size);
    w.norm(at + "post_attention_layernorm.weight", c.hidden_size);
    w.norm(at + "self_attn.q_norm.weight", c.head_dim);
    w.norm(at + "self_attn.k_norm.weight", c.head_dim);
    w.matrix(at + "self_attn.q_proj.weight", c.q_size(), c.hidden_size);
    w.matrix(at + "self_attn.k_proj.weight", c.kv_size(), c.hidden_size);
    w.matrix(at + "self_attn.v_proj.weight", c.kv_size(), c.hidden_size);
    w.matrix(at + "self_attn.o_proj.weight", c.hidden_size, c.q_size());
    w.matrix(at + "mlp.gate.weight", c.n_experts, c.hidden_size);
    for (std::uint32_t e = 0; e != c.n_experts; ++e) {
      std::string const of = at + "mlp.experts." + std::to_string(e) + ".";
      w.matrix(of + "gate_proj.weight", c.expert_hidden, c.hidden_size);
      w.matrix(of + "up_proj.weight", c.expert_hidden, c.hidden_size);
      w.matrix(of + "down_proj.weight", c.hidden_size, c.expert_hidden);
    }
  }
  w.write(folder / "model.safetensors");
  buddy::io::write_file(folder / "config.json", json_of(c).dump());
}

/// The model as its definition reads, in double, one loop per sum; shares no code with the harness.
class naive_model {
 public:
  using row = std::vector<double>;

  naive_model(harness::model_config const& c, std::filesystem::path const& folder)
      : c_{c},
        file_{buddy::io::safetensors_file::open(folder / "model.safetensors")},
        keys_(c.n_layers),
        values_(c.n_layers) {}

  /// Logits after one more token.
  row step(std::uint8_t token) {
    row h = tensor("model.embed_tokens.weight");
    h = row(h.begin() + token * c_.hidden_size, h.begin() + (token + 1) * c_.hidden_size);
    for (std::uint32_t l = 0; l != c_.n_layers; ++l) {
      std::string const at = "model.layers." + std::to_string(l) + ".";
      add(h, attention(l, at, norm(h, at + "input_layernorm.weight")), 1.0);
      experts(h, at);
    }
    ++position_;
    return product(c_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight", norm(h, "model.norm.weight"));
  }

 private:
  row tensor(std::string const& name) const {
    auto const f = buddy::io::widened(file_.at(name));
    return {f.begin(), f.end()};
  }
  row product(std::string const& name, row const& x) const {
    row const m = tensor(name);
    row y(m.size() / x.size());
    for (std::size_t i = 0; i != y.size(); ++i)
      for (std::size_t j = 0; j != x.size(); ++j) y[i] += m[i * x.size() + j] * x[j];
    return y;
  }
  row norm(row x, std::string const& name) const {
    row const gain = tensor(name);
    double sum = 0;
    for (double const v : x) sum += v * v;
    for (std::size_t i = 0; i != x.size(); ++i)
      x[i] *= gain[i] / std::sqrt(sum / static_cast<double>(x.size()) + static_cast<double>(c_.rms_eps));
    return x;
  }
  static void add(row& to, row const& x, double factor) {
    for (std::size_t i = 0; i != x.size(); ++i) to[i] += factor * x[i];
  }
  static row softmax(row x) {
    double const max = *std::max_element(x.begin(), x.end());
    for (double& v : x) v = std::exp(v - max);
    double const sum = std::accumulate(x.begin(), x.end(), 0.0);
    for (double& v : x) v /= sum;
    return x;
  }
  row head_of(row const& all, std::size_t head, std::string const& norm_name) const {
    auto const begin = all.begin() + static_cast<std::ptrdiff_t>(head * c_.head_dim);
    row const x = norm({begin, begin + c_.head_dim}, norm_name);
    row y(c_.head_dim);
    std::size_t const half = c_.head_dim / 2;
    for (std::size_t i = 0; i != half; ++i) {
      double const angle = static_cast<double>(position_) *
                           std::pow(static_cast<double>(c_.rope_theta), -2.0 * static_cast<double>(i) / c_.head_dim);
      y[i] = x[i] * std::cos(angle) - x[i + half] * std::sin(angle);
      y[i + half] = x[i + half] * std::cos(angle) + x[i] * std::sin(angle);
    }
    return y;
  }
  row attention(std::size_t l, std::string const& at, row const& x) {
    row const q = product(at + "self_attn.q_proj.weight", x);
    row const k = product(at + "self_attn.k_proj.weight", x);
    row const v = product(at + "self_attn.v_proj.weight", x);
    row key;
    for (std::size_t g = 0; g != c_.n_kv_heads; ++g) {
      row const turned = head_of(k, g, at + "self_attn.k_norm.weight");
      key.insert(key.end(), turned.begin(), turned.end());
    }
    keys_[l].push_back(key);
    values_[l].push_back(v);
    row out(c_.q_size());
    for (std::size_t h = 0; h != c_.n_heads; ++h) {
      std::size_t const g = h * c_.n_kv_heads / c_.n_heads;
      row const query = head_of(q, h, at + "self_attn.q_norm.weight");
      row scores(keys_[l].size());
      for (std::size_t t = 0; t != scores.size(); ++t)
        for (std::size_t i = 0; i != c_.head_dim; ++i)
          scores[t] += query[i] * keys_[l][t][g * c_.head_dim + i] / std::sqrt(static_cast<double>(c_.head_dim));
      scores = softmax(scores);
      for (std::size_t t = 0; t != scores.size(); ++t)
        for (std::size_t i = 0; i != c_.head_dim; ++i)
          out[h * c_.head_dim + i] += scores[t] * values_[l][t][g * c_.head_dim + i];
    }
    return product(at + "self_attn.o_proj.weight", out);
  }
  void experts(row& h, std::string const& at) const {
    row const x = norm(h, at + "post_attention_layernorm.weight");
    row const p = softmax(product(at + "mlp.gate.weight", x));
    std::vector<std::size_t> order(p.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
    double sum = 0;
    for (std::size_t s = 0; s != c_.top_k; ++s) sum += p[order[s]];
    for (std::size_t s = 0; s != c_.top_k; ++s) {
      std::string const of = at + "mlp.experts." + std::to_string(order[s]) + ".";
      row gate = product(of + "gate_proj.weight", x);
      row const up = product(of + "up_proj.weight", x);
      for (std::size_t i = 0; i != gate.size(); ++i) gate[i] *= up[i] / (1.0 + std::exp(-gate[i]));
      add(h, product(of + "down_proj.weight", gate), c_.normalise_top_k ? p[order[s]] / sum : p[order[s]]);
    }
  }

  harness::model_config c_;
  buddy::io::safetensors_file file_;
  std::vector<std::vector<row>> keys_, values_;  // [layer][position]
  std::size_t position_{};
};

}  // namespace random_model
