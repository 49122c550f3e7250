// SPDX-License-Identifier: Apache-2.0
/// @file
/// The weights of one model in memory, each tensor checked against the config.
#pragma once

#include "harness/model/aligned_floats.hpp"
#include "harness/model/config.hpp"

#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace harness {

/// One layer, row-major f32, output index first as Hugging Face stores them. Views into `weights`.
struct layer_weights {
  std::span<float const> input_norm;   ///< [hidden_size]
  std::span<float const> qkv;          ///< [q_size + 2 kv_size, hidden_size]: query, key and value matrices in a row
  std::span<float const> q_norm;       ///< [head_dim]
  std::span<float const> k_norm;       ///< [head_dim]
  std::span<float const> output;       ///< [hidden_size, q_size]
  std::span<float const> expert_norm;  ///< [hidden_size], before router and experts
  std::span<float const> router;       ///< [n_experts, hidden_size]
  std::vector<std::span<float const>> experts;  ///< [n_experts] records
};

/// One expert's record: [gate | up | down], contiguous, so that one copy moves it.
struct expert_record {
  std::span<float const> gate_up;  ///< [2 expert_hidden, hidden_size]
  std::span<float const> down;     ///< [hidden_size, expert_hidden]
};

/// Owns a model; cannot be changed after loading.
class weights {
 public:
  /// @param folder  holds config.json and model.safetensors in Hugging Face names; f16, bf16 or f32
  /// @throws buddy::config_error when a file breaks a rule or a tensor does not fit the config
  [[nodiscard]] static weights load(std::filesystem::path const& folder);

  /// The same with the experts rounded to 4 bits in groups of 32, with scale and minimum: a model that is stored so.
  /// Its records have 5 bits a weight, and its identity says that it is another model.
  void round_experts();

  [[nodiscard]] model_config const& config() const noexcept { return config_; }
  [[nodiscard]] std::span<float const> embedding() const noexcept { return embedding_; }  ///< [vocab_size, hidden_size]
  [[nodiscard]] std::span<float const> head() const noexcept { return head_; }            ///< [vocab_size, hidden_size]
  [[nodiscard]] std::span<float const> final_norm() const noexcept { return final_norm_; }  ///< [hidden_size]
  [[nodiscard]] layer_weights const& layer(std::size_t l) const noexcept { return layers_[l]; }

  [[nodiscard]] expert_record expert(buddy::expert_key k) const noexcept {
    auto const record = layers_[k.layer].experts[k.expert];
    std::size_t const gate_up = record.size() / 3 * 2;
    return {record.first(gate_up), record.subspan(gate_up)};
  }

  /// Bytes of one expert as the file stores it: what an engine would move.
  [[nodiscard]] std::uint64_t expert_bytes() const noexcept { return expert_bytes_; }

  /// Layers, experts, top-k and the stored record size, for the policy.
  [[nodiscard]] buddy::model_shape shape() const noexcept {
    return {static_cast<std::uint16_t>(config_.n_layers), static_cast<std::uint16_t>(config_.n_experts),
            static_cast<std::uint16_t>(config_.top_k), expert_bytes_};
  }

  /// [n_layers] router matrices [n_experts, hidden_size], as predictors take them.
  [[nodiscard]] std::vector<buddy::view<float const>> routers() const {
    std::vector<buddy::view<float const>> rows;
    for (layer_weights const& l : layers_)
      rows.push_back({l.router.data(), static_cast<std::uint32_t>(l.router.size())});
    return rows;
  }

  /// 16 hexadecimal digits over the bytes of both files (FNV-1a, 64 bits): ties a profile to its model.
  [[nodiscard]] std::string const& identity() const noexcept { return identity_; }

 private:
  friend class weights_builder;

  model_config config_;
  aligned_floats storage_;
  std::span<float const> embedding_, head_, final_norm_;
  std::vector<layer_weights> layers_;
  std::uint64_t expert_bytes_{};
  std::string identity_;
};

}  // namespace harness
