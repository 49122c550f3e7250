// SPDX-License-Identifier: Apache-2.0
/// @file
/// The sizes of public models, derived from their configurations.
#include "harness/sim/charged_shape.hpp"

#include <buddy/error.hpp>

#include <array>

namespace harness {

namespace {

constexpr std::uint64_t bf16 = 2;  // bytes of one weight

/// Gate, up and down matrices of a SwiGLU block.
constexpr std::uint64_t ffn(std::uint64_t hidden, std::uint64_t width) { return 3 * hidden * width; }

/// Query, key, value and output matrices of grouped-query attention.
constexpr std::uint64_t attention(std::uint64_t hidden, std::uint64_t query, std::uint64_t key_value) {
  return 2 * hidden * query + 2 * hidden * key_value;
}

/// deepseek-ai/DeepSeek-V2-Lite: hidden 2048, 26 MoE layers of 64 experts of width 1408 and two shared ones, a dense
/// layer of width 10944, vocabulary 102400. Latent attention: query 16 heads x 192, compressed keys and values 512 +
/// 64, expanded to 16 x 256, output 2048.
charged_shape deepseek_v2_lite() {
  constexpr std::uint64_t d = 2048;
  constexpr std::uint64_t latent = d * 16 * 192 + d * (512 + 64) + 512 * 16 * 256 + 16 * 128 * d;
  constexpr std::uint64_t layer = latent + 2 * ffn(d, 1408) + 64 * d;
  constexpr std::uint64_t once = 102400 * d + latent + ffn(d, 10944);  // head and dense layer
  return {"deepseek-v2-lite", 26, ffn(d, 1408) * bf16, layer * bf16 + once * bf16 / 26};
}

/// Qwen/Qwen3-30B-A3B: hidden 2048, 48 layers of 128 experts of width 768, 32 query and 4 key-value heads of 128,
/// vocabulary 151936.
charged_shape qwen3_30b_a3b() {
  constexpr std::uint64_t d = 2048;
  constexpr std::uint64_t layer = attention(d, 32 * 128, 4 * 128) + 128 * d;
  return {"qwen3-30b-a3b", 48, ffn(d, 768) * bf16, layer * bf16 + 151936 * d * bf16 / 48};
}

/// allenai/OLMoE-1B-7B-0924: hidden 2048, 16 layers of 64 experts of width 1024, 16 query and key-value heads of 128,
/// vocabulary 50304.
charged_shape olmoe_1b_7b() {
  constexpr std::uint64_t d = 2048;
  constexpr std::uint64_t layer = attention(d, 16 * 128, 16 * 128) + 64 * d;
  return {"olmoe-1b-7b", 16, ffn(d, 1024) * bf16, layer * bf16 + 50304 * d * bf16 / 16};
}

/// mistralai/Mixtral-8x7B-v0.1: hidden 4096, 32 layers of 8 experts of width 14336, 32 query and 8 key-value heads of
/// 128, vocabulary 32000.
charged_shape mixtral_8x7b() {
  constexpr std::uint64_t d = 4096;
  constexpr std::uint64_t layer = attention(d, 32 * 128, 8 * 128) + 8 * d;
  return {"mixtral-8x7b", 32, ffn(d, 14336) * bf16, layer * bf16 + 32000 * d * bf16 / 32};
}

/// openai/gpt-oss-20b: hidden 2880, 24 layers of 32 experts of width 2880 in MXFP4 (17 bytes for 32 weights) with
/// biases in bfloat16, 64 query and 8 key-value heads of 64, vocabulary 201088.
charged_shape gpt_oss_20b() {
  constexpr std::uint64_t d = 2880;
  constexpr std::uint64_t expert = ffn(d, d) / 32 * 17 + 3 * d * bf16;
  constexpr std::uint64_t layer = attention(d, 64 * 64, 8 * 64) + 32 * d;
  return {"gpt-oss-20b", 24, expert, layer * bf16 + 201088 * d * bf16 / 24};
}

std::array<charged_shape, 5> const& shapes() {
  static std::array<charged_shape, 5> const all{deepseek_v2_lite(), qwen3_30b_a3b(), olmoe_1b_7b(), mixtral_8x7b(),
                                                gpt_oss_20b()};
  return all;
}

}  // namespace

std::span<charged_shape const> builtin_shapes() { return shapes(); }

charged_shape find_shape(std::string const& name, charged_shape const& reference) {
  if (name == "reference") return reference;
  std::string known = "reference";
  for (charged_shape const& s : shapes()) {
    if (s.name == name) return s;
    known += ", " + s.name;
  }
  throw buddy::config_error("unknown shape '" + name + "': one of " + known);
}

}  // namespace harness
