// SPDX-License-Identifier: Apache-2.0
/// @file
/// The sizes of a mixture-of-experts transformer, read from a Hugging Face config.json.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace harness {

/// A model of type `qwen3_moe`, every layer of it routed.
struct model_config {
  std::uint32_t hidden_size{};
  std::uint32_t n_layers{};
  std::uint32_t n_heads{};        ///< of the queries
  std::uint32_t n_kv_heads{};     ///< divides n_heads
  std::uint32_t head_dim{};       ///< even
  std::uint32_t n_experts{};      ///< routed experts of a layer
  std::uint32_t top_k{};          ///< experts a token is sent to
  std::uint32_t expert_hidden{};  ///< hidden units of one expert
  std::uint32_t max_positions{};
  std::uint32_t vocab_size{};
  float rms_eps{};
  float rope_theta{};
  bool normalise_top_k{};  ///< gate weights of the chosen experts are divided by their sum
  bool tied_embeddings{};  ///< the output matrix is the embedding

  bool operator==(model_config const&) const = default;

  [[nodiscard]] std::size_t q_size() const noexcept { return std::size_t{n_heads} * head_dim; }
  [[nodiscard]] std::size_t kv_size() const noexcept { return std::size_t{n_kv_heads} * head_dim; }

  /// Numbers in one expert's record: gate, up and down matrices.
  [[nodiscard]] std::size_t expert_parameters() const noexcept { return std::size_t{3} * hidden_size * expert_hidden; }
};

/// @param file  named in messages
/// @throws buddy::config_error when a field is missing, out of range, or asks for what this harness does not compute
[[nodiscard]] model_config parse_model_config(std::string_view json, std::filesystem::path const& file);

/// @throws buddy::config_error also when the file cannot be read
[[nodiscard]] model_config read_model_config(std::filesystem::path const& file);

}  // namespace harness
