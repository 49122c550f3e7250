// SPDX-License-Identifier: Apache-2.0
/// @file
/// Writes a Qwen3-MoE model of byte tokens, as in models/, as GGUF; all numbers become F32.
#include "gguf/gguf_builder.hpp"

#include <buddy/error.hpp>
#include <buddy/io/safetensors.hpp>
#include <buddy/io/tensor_values.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using names = std::initializer_list<std::pair<char const*, char const*>>;

/// Reads one folder, writes one file.
class converter {
 public:
  explicit converter(std::filesystem::path const& folder)
      : config_(config_in(folder)),
        weights_(buddy::io::safetensors_file::open(folder / "model.safetensors")),
        out_{"qwen3moe", 16 * config_.at("num_hidden_layers").get<std::size_t>() + 16} {}

  void write(std::filesystem::path const& file) {
    keys();
    out_.set_byte_tokenizer(false);
    copy("token_embd.weight", "model.embed_tokens.weight");
    copy("output_norm.weight", "model.norm.weight");
    copy("output.weight", "lm_head.weight");
    for (std::uint32_t l = 0; l != number("num_hidden_layers"); ++l) layer(l);
    out_.write(file);
  }

 private:
  static nlohmann::json config_in(std::filesystem::path const& folder) {
    std::ifstream in{folder / "config.json"};
    auto config = nlohmann::json::parse(in, nullptr, false);
    if (!config.is_object() || config.value("model_type", "") != "qwen3_moe" || config.value("vocab_size", 0) != 256)
      throw buddy::config_error((folder / "config.json").string() + ": must be a qwen3_moe model of 256 tokens");
    return config;
  }

  [[nodiscard]] std::uint32_t number(char const* key) const { return config_.at(key).get<std::uint32_t>(); }

  void keys() {
    for (auto const& [key, from] : names{{".block_count", "num_hidden_layers"},
                                         {".context_length", "max_position_embeddings"},
                                         {".embedding_length", "hidden_size"},
                                         {".feed_forward_length", "intermediate_size"},
                                         {".attention.head_count", "num_attention_heads"},
                                         {".attention.head_count_kv", "num_key_value_heads"},
                                         {".attention.key_length", "head_dim"},
                                         {".attention.value_length", "head_dim"},
                                         {".expert_count", "num_experts"},
                                         {".expert_used_count", "num_experts_per_tok"},
                                         {".expert_feed_forward_length", "moe_intermediate_size"}})
      out_.set(key, number(from));
    out_.set(".attention.layer_norm_rms_epsilon", config_.at("rms_norm_eps").get<float>());
    out_.set(".rope.freq_base", config_.at("rope_theta").get<float>());
    out_.set("general.name", std::string{"buddy reference"});
  }

  void layer(std::uint32_t l) {
    std::string const to = "blk." + std::to_string(l) + ".";
    std::string const from = "model.layers." + std::to_string(l) + ".";
    for (auto const& [name, source] : names{{"attn_norm", "input_layernorm"},
                                            {"attn_q", "self_attn.q_proj"},
                                            {"attn_k", "self_attn.k_proj"},
                                            {"attn_v", "self_attn.v_proj"},
                                            {"attn_output", "self_attn.o_proj"},
                                            {"attn_q_norm", "self_attn.q_norm"},
                                            {"attn_k_norm", "self_attn.k_norm"},
                                            {"ffn_norm", "post_attention_layernorm"},
                                            {"ffn_gate_inp", "mlp.gate"}})
      copy(to + name + ".weight", from + source + ".weight");
    for (auto const& [name, source] :
         names{{"ffn_gate_exps", "gate_proj"}, {"ffn_up_exps", "up_proj"}, {"ffn_down_exps", "down_proj"}})
      stack(to + name + ".weight", from + "mlp.experts.", std::string{"."} + source + ".weight");
  }

  /// @returns the shape, innermost first
  static std::vector<std::int64_t> turned(buddy::io::tensor_shape const& shape) {
    return {shape.rbegin(), shape.rend()};
  }

  void copy(std::string const& to, std::string const& from) {
    auto const& tensor = weights_.at(from);
    out_.add(to, GGML_TYPE_F32, turned(tensor.shape), rows_of({buddy::io::widened(tensor)}));
  }

  /// One tensor of all experts' matrices.
  void stack(std::string const& to, std::string const& from, std::string const& rest) {
    std::vector<std::vector<float>> experts;
    for (std::uint32_t e = 0; e != number("num_experts"); ++e)
      experts.push_back(buddy::io::widened(weights_.at(from + std::to_string(e) + rest)));
    auto shape = turned(weights_.at(from + "0" + rest).shape);
    shape.push_back(number("num_experts"));
    out_.add(to, GGML_TYPE_F32, shape, rows_of(std::move(experts)));
  }

  static llama_adapter::gguf_builder::row_maker rows_of(std::vector<std::vector<float>> parts) {
    return [parts = std::move(parts)](std::int64_t row, std::span<float> out) {
      std::size_t const first = static_cast<std::size_t>(row) * out.size();
      auto const& part = parts[first / parts[0].size()];
      std::copy_n(part.begin() + static_cast<std::ptrdiff_t>(first % part.size()), out.size(), out.begin());
    };
  }

  nlohmann::json config_;
  buddy::io::safetensors_file weights_;
  llama_adapter::gguf_builder out_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: buddy-to-gguf <folder with config.json and model.safetensors> <file.gguf>\n");
    return 2;
  }
  try {
    converter{argv[1]}.write(argv[2]);
    return 0;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "buddy-to-gguf: %s\n", e.what());
    return 2;
  }
}
