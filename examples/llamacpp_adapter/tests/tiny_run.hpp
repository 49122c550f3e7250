// SPDX-License-Identifier: Apache-2.0
/// @file
/// Small models in files, and runs of them that end in logits.
#pragma once

#include "buddy_llama.h"
#include "gguf/generated_model.hpp"

#include <llama.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace llama_test {

/// A folder of this process, gone at its end. @returns a name in it
[[nodiscard]] std::filesystem::path scratch_file(std::string const& name);

/// The file of such a model, written once.
[[nodiscard]] std::filesystem::path file_of(llama_adapter::generated_model const& model);
[[nodiscard]] llama_adapter::generated_model tiny(std::string_view architecture = "qwen3moe");

using model_ptr = std::unique_ptr<llama_model, void (*)(llama_model*)>;
using context_ptr = std::unique_ptr<llama_context, void (*)(llama_context*)>;

/// @param mapped  from the file, as by default, or in memory that may be written
[[nodiscard]] model_ptr load(std::filesystem::path const& file, bool mapped = true);

struct attached {
  explicit attached(llama_model* model, std::string const& config);
  attached(attached const&) = delete;
  attached& operator=(attached const&) = delete;
  ~attached();
  void detach();
  [[nodiscard]] buddy_llama_counts counts() const;

  buddy_llama* handle;
};

/// Why it was refused; empty when it was not.
[[nodiscard]] std::string refusal_of(llama_model* model, std::string const& config);

struct run_options {
  int n_threads = 1;
  std::uint32_t n_ubatch = 256;
  std::size_t n_prompt = 24;
  std::size_t n_decoded = 6;
  bool all_logits = true;  ///< of the prompt, or of its last token only
};

/// Parameters with which runs can be compared bit by bit: keys and values in F32.
[[nodiscard]] llama_context_params params_of(run_options const& o);

/// A prompt as one batch, then token by token. @returns all logits; fails the test when decoding does
[[nodiscard]] std::vector<float> logits_of(llama_context* context, run_options const& o);

/// The same in a context of its own. @param buddy  null: unhooked
[[nodiscard]] std::vector<float> run(llama_model* model, buddy_llama* buddy, run_options const& o = {});

/// Decodes one token at a position. @returns what llama_decode does
int decode_one(llama_context* context, llama_token token, int position);

/// Whether two runs gave the same bits.
[[nodiscard]] bool same_bits(std::vector<float> const& a, std::vector<float> const& b);

/// A callback of the test's own, which is asked before and told after every node.
struct node_watch {
  std::function<bool(ggml_tensor*)> wants;
  std::function<void(ggml_tensor*)> computed;

  void install(llama_context_params& params) {
    params.cb_eval = [](ggml_tensor* node, bool ask, void* self) {
      auto& watch = *static_cast<node_watch*>(self);
      if (ask) return watch.wants(node);
      watch.computed(node);
      return true;
    };
    params.cb_eval_user_data = this;
  }
};

}  // namespace llama_test
