// SPDX-License-Identifier: Apache-2.0
/// @file
/// The memory that slots are: for each layer tensors with as many experts as it has slots, and one layer's worth of
/// staging for batches that need more.
#pragma once

#include "src/moe_graph.hpp"

#include <ggml-backend.h>
#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace llama_adapter {

/// The slots of one layer, in the numbering of the cache.
struct slot_range {
  std::uint32_t first{};
  std::uint32_t count{};
};

/// What a node of the graph reads: the model's own tensor, or one of ours.
enum class expert_home : std::uint8_t { model, slots, staging };

/// Owns the tensors; says which one a node should read, and where a record goes.
///
/// On the CPU the model's tensors stay as they are, and nodes of hooked contexts are pointed at ours before they run;
/// a context without hook goes on reading the model. On another device that would be too late, since the graph was
/// divided by then: there the model's tensors themselves are moved, and moved back in the end.
class slot_store {
 public:
  /// @param slots   [layers]; equal ranges share their memory, as with one pool for all layers
  /// @param device  ggml's name; empty: the CPU
  /// @throws buddy::config_error when the device is unknown, out of memory, or layers that share slots differ in shape
  slot_store(moe_graph const& graph, std::span<slot_range const> slots, std::string const& device);
  ~slot_store();
  slot_store(slot_store const&) = delete;
  slot_store& operator=(slot_store const&) = delete;

  /// The tensor that holds this part. The model's may be read by slots, when it was moved.
  [[nodiscard]] ggml_tensor* tensor(std::size_t layer, std::size_t part, expert_home home) const noexcept;

  /// Whether `t` is this part, in any home.
  [[nodiscard]] bool holds(std::size_t layer, std::size_t part, ggml_tensor const* t) const noexcept;

  /// Where a record can be written in place, or null when it has to go through `write`.
  [[nodiscard]] std::byte* address(std::size_t layer, std::size_t part, std::uint32_t place,
                                   expert_home home) const noexcept;
  void write(std::size_t layer, std::size_t part, std::uint32_t place, expert_home home, std::byte const* from) const;

  /// Copies a resident expert to staging.
  void stage(std::size_t layer, std::uint32_t slot, std::uint16_t expert) const;

  /// Puts moved tensors back; the model must still be there. Does nothing where none was moved.
  void restore_model() noexcept;

  [[nodiscard]] bool is_moved() const noexcept { return moved_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct homes {
    ggml_tensor* model{};
    ggml_tensor* slots{};
    ggml_tensor* staging{};
    std::size_t bytes{};  // of one record
    bool is_bias{};
    ggml_tensor original{};
  };
  struct shared_staging {
    shared_staging(ggml_tensor* t, bool bias) : tensor{t}, is_bias{bias} {}
    ggml_tensor* tensor;
    bool is_bias;
  };

  ggml_tensor* add(expert_part const& part, std::uint32_t count);
  ggml_tensor* staging_like(expert_part const& part, std::uint32_t n_experts);
  void share_or_add(moe_graph const& graph, std::span<slot_range const> slots, std::size_t layer);
  void allocate_host();
  void allocate_on(std::string const& device);
  void move_model();

  std::unique_ptr<ggml_context, void (*)(ggml_context*)> context_;
  std::vector<std::vector<homes>> parts_;  // [layers][parts]
  std::vector<shared_staging> staging_;    // of different shapes, or for parts of one layer
  ggml_backend_buffer_t buffer_ = nullptr;
  void* memory_ = nullptr;  // of `buffer_`, on the host
  std::size_t bytes_ = 0;
  bool moved_ = false;
};

}  // namespace llama_adapter
