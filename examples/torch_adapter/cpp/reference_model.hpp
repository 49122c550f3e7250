// SPDX-License-Identifier: Apache-2.0
/// @file
/// The bundled model, or any other of type qwen3_moe, in plain LibTorch but for its MoE blocks.
#pragma once

#include <buddy/io/mapped_file.hpp>
#include <buddy/io/safetensors.hpp>
#include <buddy/io/tensor_values.hpp>

#include <ATen/ATen.h>
#include <buddy_torch/expert_store.hpp>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace reference {

struct model_sizes {
  std::int64_t hidden, n_layers, n_heads, n_kv_heads, head_dim, n_experts, top_k, width, vocab, max_positions;
  double rms_eps, theta;
  bool normalise;

  [[nodiscard]] buddy::torch::expert_sizes experts() const { return {n_layers, n_experts, hidden, width}; }
};

inline model_sizes read_sizes(std::filesystem::path const& folder) {
  buddy::io::mapped_file const file{folder / "config.json"};
  auto const* const text = reinterpret_cast<char const*>(file.bytes().data());
  auto const c = nlohmann::json::parse(text, text + file.bytes().size());
  return {c.at("hidden_size"),
          c.at("num_hidden_layers"),
          c.at("num_attention_heads"),
          c.at("num_key_value_heads"),
          c.at("head_dim"),
          c.at("num_experts"),
          c.at("num_experts_per_tok"),
          c.at("moe_intermediate_size"),
          c.at("vocab_size"),
          c.at("max_position_embeddings"),
          c.at("rms_norm_eps"),
          c.at("rope_theta"),
          c.at("norm_topk_prob")};
}

/// A safetensors file as float tensors.
class weight_file {
 public:
  explicit weight_file(std::filesystem::path const& path) : file_{buddy::io::safetensors_file::open(path)} {}

  [[nodiscard]] at::Tensor get(std::string const& name) const {
    auto const& view = file_.at(name);
    auto const t = at::empty({static_cast<std::int64_t>(view.n_elements())});
    buddy::io::widen(view, {t.data_ptr<float>(), view.n_elements()});
    return t.view(std::vector<std::int64_t>(view.shape.begin(), view.shape.end()));
  }

 private:
  buddy::io::safetensors_file file_;
};

inline std::string layer_name(std::int64_t l) { return "model.layers." + std::to_string(l) + "."; }

/// Fills a store with every expert for which `wanted(layer, expert)`.
inline void load_experts(weight_file const& file, buddy::torch::ExpertStore& store,
                         std::function<bool(std::int64_t, std::int64_t)> const& wanted = {}) {
  for (std::int64_t l = 0; l != store.sizes().n_layers; ++l)
    for (std::int64_t e = 0; e != store.sizes().n_experts; ++e) {
      if (wanted && !wanted(l, e)) continue;
      auto const at = layer_name(l) + "mlp.experts." + std::to_string(e) + ".";
      store.set({static_cast<std::uint16_t>(l), static_cast<std::uint16_t>(e)}, file.get(at + "gate_proj.weight"),
                file.get(at + "up_proj.weight"), file.get(at + "down_proj.weight"));
    }
}

/// One MoE block: [n_tokens, hidden] in and out.
using moe_block = std::function<at::Tensor(at::Tensor const&)>;

/// Attention and the rest, for one sequence at a time.
class decoder {
 public:
  /// @param make_block  called with each layer's number and router [n_experts, hidden]
  decoder(model_sizes const& sizes, weight_file const& file,
          std::function<moe_block(std::int64_t, at::Tensor const&)> const& make_block)
      : s_{sizes},
        embedding_{file.get("model.embed_tokens.weight")},
        norm_{file.get("model.norm.weight")},
        head_{file.get("lm_head.weight")} {
    for (std::int64_t l = 0; l != sizes.n_layers; ++l) layers_.push_back(load_layer(file, l, make_block));
    auto const half = sizes.head_dim / 2;
    auto const exponents = at::arange(half, at::kFloat) * (2.0 / static_cast<double>(sizes.head_dim));
    auto const angles =
        at::outer(at::arange(sizes.max_positions, at::kFloat), at::pow(sizes.theta, exponents).reciprocal());
    cos_ = angles.cos();
    sin_ = angles.sin();
  }

  void begin_sequence() { position_ = 0; }

  /// Appends tokens [n_tokens] to the sequence. @returns logits [n_tokens, vocab]
  at::Tensor step(at::Tensor const& tokens) {
    at::NoGradGuard const inference;
    auto x = embedding_.index_select(0, tokens);
    for (layer& l : layers_) {
      x = x + attend(l, rms_norm(x, l.input_norm));
      x = x + l.block(rms_norm(x, l.expert_norm));
    }
    position_ += tokens.size(0);
    return at::linear(rms_norm(x, norm_), head_);
  }

 private:
  struct layer {
    at::Tensor input_norm, expert_norm, q, k, v, o, q_norm, k_norm;
    at::Tensor keys, values;  // [n_kv_heads, max_positions, head_dim]
    moe_block block;
  };

  layer load_layer(weight_file const& file, std::int64_t l,
                   std::function<moe_block(std::int64_t, at::Tensor const&)> const& make_block) const {
    auto const get = [&](char const* name) { return file.get(layer_name(l) + name); };
    auto const cache = at::zeros({s_.n_kv_heads, s_.max_positions, s_.head_dim});
    return {get("input_layernorm.weight"),
            get("post_attention_layernorm.weight"),
            get("self_attn.q_proj.weight"),
            get("self_attn.k_proj.weight"),
            get("self_attn.v_proj.weight"),
            get("self_attn.o_proj.weight"),
            get("self_attn.q_norm.weight"),
            get("self_attn.k_norm.weight"),
            cache,
            cache.clone(),
            make_block(l, get("mlp.gate.weight"))};
  }

  [[nodiscard]] at::Tensor rms_norm(at::Tensor const& x, at::Tensor const& gain) const {
    return x * at::rsqrt(x.square().mean(-1, true) + s_.rms_eps) * gain;
  }

  /// @param x  [n_heads, n_tokens, head_dim]
  [[nodiscard]] at::Tensor rotate(at::Tensor const& x) const {
    auto const half = s_.head_dim / 2;
    auto const c = cos_.narrow(0, position_, x.size(1));
    auto const s = sin_.narrow(0, position_, x.size(1));
    auto const a = x.narrow(2, 0, half);
    auto const b = x.narrow(2, half, half);
    return at::cat({a * c - b * s, b * c + a * s}, -1);
  }

  at::Tensor attend(layer& l, at::Tensor const& x) const {
    auto const n = x.size(0);
    auto const split = [&](at::Tensor const& y, std::int64_t heads) {
      return y.view({n, heads, s_.head_dim}).transpose(0, 1);
    };
    auto const q = rotate(rms_norm(split(at::linear(x, l.q), s_.n_heads), l.q_norm));
    l.keys.narrow(1, position_, n).copy_(rotate(rms_norm(split(at::linear(x, l.k), s_.n_kv_heads), l.k_norm)));
    l.values.narrow(1, position_, n).copy_(split(at::linear(x, l.v), s_.n_kv_heads));
    auto const repeat = [&](at::Tensor const& y) {
      return y.narrow(1, 0, position_ + n).repeat_interleave(s_.n_heads / s_.n_kv_heads, 0);
    };
    auto scores = at::matmul(q, repeat(l.keys).transpose(1, 2)) / std::sqrt(static_cast<double>(s_.head_dim));
    scores = scores.masked_fill(at::ones({n, position_ + n}, at::kBool).triu(position_ + 1), -INFINITY);
    auto const mixed = at::matmul(at::softmax(scores, -1), repeat(l.values));
    return at::linear(mixed.transpose(0, 1).reshape({n, -1}), l.o);
  }

  model_sizes s_;
  at::Tensor embedding_, norm_, head_, cos_, sin_;
  std::vector<layer> layers_;
  std::int64_t position_{};
};

}  // namespace reference
