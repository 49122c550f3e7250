// SPDX-License-Identifier: Apache-2.0
/// @file
/// Models with random weights, of any size and of every architecture that is tested.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace llama_adapter {

struct generated_model {
  std::string architecture = "qwen3moe";  ///< one of `generated_architectures()`
  std::uint32_t n_layers = 4;
  std::uint32_t width = 64;         ///< numbers in a token's hidden state; a multiple of 64
  std::uint32_t expert_width = 32;  ///< hidden units of an expert; a multiple of 32
  std::uint32_t n_experts = 16;
  std::uint32_t top_k = 4;
  std::uint32_t n_heads = 2;
  ggml_type expert_type = GGML_TYPE_F32;
  std::uint64_t seed = 1;
  std::size_t data_alignment = 32;
  /// How unlike the gates of a token are: logits are about so large.
  float router_scale = 4.0F;
};

/// Names as llama.cpp knows them; "llama" is Mixtral.
[[nodiscard]] std::span<std::string_view const> generated_architectures();

/// @throws buddy::config_error when the architecture is unknown, or the file cannot be written
void write_generated_model(generated_model const& model, std::filesystem::path const& file);

}  // namespace llama_adapter
