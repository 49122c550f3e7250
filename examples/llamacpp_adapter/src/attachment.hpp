// SPDX-License-Identifier: Apache-2.0
/// @file
/// One model under one policy: everything but llama.cpp's callback.
#pragma once

#include "buddy_llama.h"
#include "harness/policy/compose.hpp"
#include "src/expert_file.hpp"
#include "src/expert_mover.hpp"
#include "src/moe_graph.hpp"
#include "src/routed_batch.hpp"
#include "src/routing_log.hpp"
#include "src/settings.hpp"
#include "src/slot_store.hpp"
#include "src/turns.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace llama_adapter {

/// What the nodes behind a router have to do about a decision.
struct layer_outcome {
  expert_home home = expert_home::model;  ///< which tensors they read
  bool weights_change = false;            ///< `attachment::change_weights` wants the final gate weights
};

class attachment {
 public:
  /// @throws buddy::config_error when the model or the settings are not supported
  attachment(llama_model* model, adapter_settings settings);

  [[nodiscard]] adapter_settings const& settings() const noexcept { return settings_; }
  [[nodiscard]] moe_graph const& graph() const noexcept { return graph_; }
  [[nodiscard]] slot_store* store() noexcept { return store_.get(); }
  [[nodiscard]] turns& turn() noexcept { return turns_; }

  /// Decides for one layer of a ubatch, and returns when its experts are there; ids are rewritten.
  /// @param weights  the node `ffn_moe_weights`, computed   @param input  what the router read, or null
  /// @throws buddy::config_error when an expert could not be read
  layer_outcome decide(std::uint16_t layer, ggml_tensor* weights, ggml_tensor const* input);

  /// Multiplies the gate weights of the batch that was decided last. @param weights  the layer's final ones, computed
  void change_weights(ggml_tensor* weights);

  /// Remembers the first failure; every step fails from here on.
  void fail(std::string const& why) noexcept;
  [[nodiscard]] bool has_failed() const noexcept { return failed_.load(std::memory_order_acquire); }
  /// Null while nothing has failed.
  [[nodiscard]] char const* failure() const noexcept { return has_failed() ? failure_.c_str() : nullptr; }

  void add_hook_seconds(double s) noexcept { hook_seconds_ += s; }
  [[nodiscard]] buddy_llama_counts counts() const;

  /// Writes what was recorded. @throws buddy::config_error when a file cannot be written
  void finish() const;

 private:
  void read_routers(bool is_needed);
  void make_policy();
  void make_store();
  void make_log(llama_model const* model);
  void begin_step(std::uint32_t n_tokens);
  void follow(buddy::layer_plan const& plan);
  [[nodiscard]] bool needs_staging(buddy::layer_plan const& plan) const noexcept;
  [[nodiscard]] bool place_in_slots(buddy::layer_plan const& plan);
  [[nodiscard]] bool fill_dropped(buddy::layer_plan const& plan, std::uint32_t row);
  void place_in_staging(buddy::layer_plan const& plan);
  layer_outcome run_all(std::uint16_t layer);

  adapter_settings settings_;
  moe_graph graph_;
  expert_source source_;
  buddy::model_shape shape_;
  std::vector<std::vector<float>> routers_;            // [layers] [n_experts, hidden], or empty
  std::vector<buddy::view<float const>> router_rows_;  // [layers], or empty
  std::optional<harness::composed_policy> policy_;
  std::unique_ptr<slot_store> store_;
  std::optional<expert_mover> mover_;
  std::optional<routing_log> log_;
  routed_batch batch_;
  turns turns_;

  bool step_begins_ = true;
  buddy::phase phase_ = buddy::phase::decode;
  bool has_decoded_ = true;           // since the last prompt: the next one is another text
  std::vector<std::int32_t> places_;  // [n_tokens, top_k] what the ids become
  std::vector<float> factors_;        // [n_tokens, top_k] of the final gate weights
  std::vector<float> final_weights_;
  std::vector<std::uint16_t> distinct_;
  std::vector<std::uint8_t> is_listed_;  // [n_experts]

  std::uint64_t steps_ = 0, staged_layers_ = 0;
  double hook_seconds_ = 0.0;
  std::atomic<bool> failed_{false};
  std::mutex failure_mutex_;
  std::string failure_;
};

}  // namespace llama_adapter
