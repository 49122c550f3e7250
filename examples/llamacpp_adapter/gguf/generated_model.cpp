// SPDX-License-Identifier: Apache-2.0
/// @file
/// What each architecture wants in a file. Source: the loaders in llama.cpp's src/models, v0.5.0.
#include "gguf/generated_model.hpp"

#include "gguf/gguf_builder.hpp"

#include <buddy/error.hpp>
#include <buddy/splitmix64.hpp>

#include <array>
#include <cmath>
#include <functional>

namespace llama_adapter {

namespace {

/// In [-1, 1), the same for equal seeds.
float random_number(std::uint64_t seed) {
  return static_cast<float>(buddy::splitmix64(seed) >> 40) * (2.0F / 16777216.0F) - 1.0F;
}

/// Adds the tensors of one model.
class model_writer {
 public:
  explicit model_writer(generated_model const& m)
      : m_{m}, file_{m.architecture, std::size_t{m.n_layers} * 32 + 16}, seed_{m.seed * 7919} {}

  void write(std::filesystem::path const& file) {
    common_keys();
    std::int64_t const n_tokens = file_.set_byte_tokenizer();
    weights("token_embd.weight", {width(), n_tokens}, 1.0F);
    norm("output_norm.weight", width());
    weights("output.weight", {width(), n_tokens}, scale(width()));
    for (std::uint32_t l = 0; l != m_.n_layers; ++l) {
      block_ = "blk." + std::to_string(l) + ".";
      norm(block_ + "attn_norm.weight", width());
      attention();
      if (is("deepseek2") && l == 0) {
        dense_layer();
      } else {
        experts();
      }
    }
    file_.write(file, m_.data_alignment);
  }

 private:
  [[nodiscard]] bool is(std::string_view architecture) const { return m_.architecture == architecture; }
  [[nodiscard]] std::int64_t width() const { return m_.width; }
  [[nodiscard]] std::int64_t head() const { return m_.width / m_.n_heads; }
  [[nodiscard]] static float scale(std::int64_t inputs) { return 1.7F / std::sqrt(static_cast<float>(inputs)); }

  void common_keys() {
    file_.set("general.name", std::string{"generated " + m_.architecture});
    file_.set(".block_count", m_.n_layers);
    file_.set(".context_length", 4096U);
    file_.set(".embedding_length", m_.width);
    file_.set(".feed_forward_length", m_.expert_width);
    file_.set(".attention.head_count", m_.n_heads);
    file_.set(".attention.head_count_kv", m_.n_heads);
    file_.set(".attention.key_length", static_cast<std::uint32_t>(head()));
    file_.set(".attention.value_length", static_cast<std::uint32_t>(head()));
    file_.set(".attention.layer_norm_rms_epsilon", 1e-6F);
    file_.set(".rope.freq_base", 10000.0F);
    file_.set(".expert_count", m_.n_experts);
    file_.set(".expert_used_count", m_.top_k);
    file_.set(".expert_feed_forward_length", m_.expert_width);
    if (is("minimax-m2")) file_.set(".expert_gating_func", 2U);  // sigmoid
    if (is("qwen2moe")) file_.set(".expert_shared_feed_forward_length", m_.expert_width);
    if (is("gpt-oss")) file_.set(".attention.sliding_window", 128U);
    if (is("deepseek2")) deepseek_keys();
  }

  void deepseek_keys() {
    file_.set(".leading_dense_block_count", 1U);
    file_.set(".attention.q_lora_rank", latent);
    file_.set(".attention.kv_lora_rank", latent);
    file_.set(".rope.dimension_count", static_cast<std::uint32_t>(head() / 2));
    file_.set(".expert_shared_count", 1U);
    file_.set(".expert_weights_scale", 2.5F);
    file_.set(".expert_weights_norm", true);
    file_.set(".expert_gating_func", 2U);
  }

  void attention() {
    if (is("deepseek2")) return latent_attention();
    for (char const* name : {"attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight"})
      weights(block_ + name, {width(), width()}, scale(width()));
    std::int64_t const normed = is("qwen3moe") ? head() : is("olmoe") || is("minimax-m2") ? width() : 0;
    if (normed != 0)
      for (char const* name : {"attn_q_norm.weight", "attn_k_norm.weight"}) norm(block_ + name, normed);
    if (is("gpt-oss")) {
      weights(block_ + "attn_sinks.weight", {m_.n_heads}, 1.0F);
      weights(block_ + "attn_output.bias", {width()}, 0.1F);
    }
  }

  /// Keys are half position, half content; both come from one short vector.
  void latent_attention() {
    std::int64_t const rank = latent;
    std::int64_t const rope = head() / 2;
    weights(block_ + "attn_q_a.weight", {width(), rank}, scale(width()));
    norm(block_ + "attn_q_a_norm.weight", rank);
    weights(block_ + "attn_q_b.weight", {rank, width()}, scale(rank));
    weights(block_ + "attn_kv_a_mqa.weight", {width(), rank + rope}, scale(width()));
    norm(block_ + "attn_kv_a_norm.weight", rank);
    weights(block_ + "attn_kv_b.weight", {rank, m_.n_heads * (head() - rope + head())}, scale(rank));
    weights(block_ + "attn_output.weight", {width(), width()}, scale(width()));
  }

  void dense_layer() {
    norm(block_ + "ffn_norm.weight", width());
    weights(block_ + "ffn_gate.weight", {width(), m_.expert_width}, scale(width()));
    weights(block_ + "ffn_up.weight", {width(), m_.expert_width}, scale(width()));
    weights(block_ + "ffn_down.weight", {m_.expert_width, width()}, scale(m_.expert_width));
  }

  void experts() {
    std::int64_t const hidden = m_.expert_width;
    std::int64_t const n = m_.n_experts;
    norm(block_ + (is("gpt-oss") ? "post_attention_norm.weight" : "ffn_norm.weight"), width());
    weights(block_ + "ffn_gate_inp.weight", {width(), n}, scale(width()) * m_.router_scale / 4.0F);
    weights(block_ + "ffn_gate_exps.weight", {width(), hidden, n}, scale(width()), m_.expert_type);
    weights(block_ + "ffn_up_exps.weight", {width(), hidden, n}, scale(width()), m_.expert_type);
    weights(block_ + "ffn_down_exps.weight", {hidden, width(), n}, scale(hidden), m_.expert_type);
    if (is("gpt-oss")) expert_biases();
    if (is("deepseek2") || is("minimax-m2")) weights(block_ + "exp_probs_b.bias", {n}, 0.02F);
    if (is("deepseek2") || is("qwen2moe")) shared_expert();
  }

  void expert_biases() {
    std::int64_t const n = m_.n_experts;
    weights(block_ + "ffn_gate_inp.bias", {n}, 0.1F);
    weights(block_ + "ffn_gate_exps.bias", {m_.expert_width, n}, 0.5F);
    weights(block_ + "ffn_up_exps.bias", {m_.expert_width, n}, 0.5F);
    weights(block_ + "ffn_down_exps.bias", {width(), n}, 0.5F);
  }

  void shared_expert() {
    if (is("qwen2moe")) weights(block_ + "ffn_gate_inp_shexp.weight", {width()}, scale(width()));
    weights(block_ + "ffn_gate_shexp.weight", {width(), m_.expert_width}, scale(width()));
    weights(block_ + "ffn_up_shexp.weight", {width(), m_.expert_width}, scale(width()));
    weights(block_ + "ffn_down_shexp.weight", {m_.expert_width, width()}, scale(m_.expert_width));
  }

  void weights(std::string const& name, std::vector<std::int64_t> const& shape, float size,
               ggml_type type = GGML_TYPE_F32) {
    std::uint64_t const seed = ++seed_ << 32;
    file_.add(name, type, shape, [seed, size](std::int64_t row, std::span<float> out) {
      std::uint64_t const first = seed + static_cast<std::uint64_t>(row) * out.size();
      for (std::size_t i = 0; i != out.size(); ++i) out[i] = size * random_number(first + i);
    });
  }

  void norm(std::string const& name, std::int64_t size) {
    std::uint64_t const seed = ++seed_ << 32;
    file_.add(name, GGML_TYPE_F32, {size}, [seed](std::int64_t, std::span<float> out) {
      for (std::size_t i = 0; i != out.size(); ++i) out[i] = 1.0F + 0.05F * random_number(seed + i);
    });
  }

  static constexpr std::uint32_t latent = 32;

  generated_model const& m_;
  gguf_builder file_;
  std::uint64_t seed_;
  std::string block_;
};

constexpr std::array<std::string_view, 7> architectures{"qwen3moe",  "qwen2moe", "olmoe",     "llama",
                                                        "deepseek2", "gpt-oss",  "minimax-m2"};

}  // namespace

std::span<std::string_view const> generated_architectures() { return architectures; }

void write_generated_model(generated_model const& model, std::filesystem::path const& file) {
  for (auto const known : architectures)
    if (model.architecture == known) return model_writer{model}.write(file);
  throw buddy::config_error("unknown architecture '" + model.architecture + "'");
}

}  // namespace llama_adapter
