// SPDX-License-Identifier: Apache-2.0
/// @file
/// llama.cpp's callback: which nodes are asked for, what is done before and after they run.
#pragma once

#include "src/attachment.hpp"

#include <ggml.h>
#include <llama.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace llama_adapter {

/// One for each call of `buddy_llama_context_params`. It outlives the attachment, since a context may too; such a
/// context can be freed, and whatever it decodes is aborted.
class context_hook {
 public:
  explicit context_hook(std::shared_ptr<attachment> to) : attachment_(std::move(to)) {}
  context_hook(context_hook const&) = delete;
  context_hook& operator=(context_hook const&) = delete;

  /// Puts the hook into the parameters, in front of what is there.
  void install(llama_context_params& params);

  /// The slots will be gone: from now on no node reads them.
  void detach();

 private:
  static bool on_node(ggml_tensor* node, bool ask, void* self);
  static bool must_abort(void* self);

  [[nodiscard]] bool wants(ggml_tensor* node);
  [[nodiscard]] bool wants_router(ggml_tensor* node);
  void computed(ggml_tensor* node);
  void decide(ggml_tensor* weights);
  void end_step(ggml_tensor* last);
  [[nodiscard]] bool is_final_weights(ggml_tensor const* node) const noexcept;
  [[nodiscard]] bool is_last(ggml_tensor const* node) const noexcept;
  void point(ggml_tensor* node, ggml_tensor*& source);
  void point_back(ggml_tensor* node);
  void fail(std::string const& why, ggml_tensor* node) noexcept;
  [[nodiscard]] int layer_of(int block) const noexcept;

  std::shared_ptr<attachment> attachment_;  // null once detached
  ggml_backend_sched_eval_callback next_ = nullptr;
  void* next_data_ = nullptr;
  bool next_wants_ = false;  // the node that was asked for last
  ggml_abort_callback next_abort_ = nullptr;
  void* next_abort_data_ = nullptr;

  int layer_ = -1;  // whose experts the nodes read that come now
  layer_outcome outcome_{};
  ggml_tensor* input_ = nullptr;  // what the router of the coming layer reads

  bool aborts_ = false;                                         // detached, and the model's tensors are elsewhere
  std::unordered_map<ggml_tensor*, ggml_tensor*> originals_{};  // what nodes read before they were pointed elsewhere
  std::unordered_set<ggml_tensor*> gone_{};                     // our tensors, once detached
};

}  // namespace llama_adapter
