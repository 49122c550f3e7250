// SPDX-License-Identifier: Apache-2.0
/// @file
/// Writes GGUF files, a row of numbers at a time, through llama.cpp's public headers.
#pragma once

#include <ggml.h>
#include <gguf.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace llama_adapter {

/// Collects keys and tensors, then writes them; the numbers are asked for while they are written.
class gguf_builder {
 public:
  /// Fills one row of a tensor.
  using row_maker = std::function<void(std::int64_t row, std::span<float> out)>;

  /// @param architecture  as llama.cpp names it
  /// @param max_tensors   room for their descriptions
  gguf_builder(std::string architecture, std::size_t max_tensors);

  /// Keys that begin with a dot get the architecture before it: ".block_count".
  void set(std::string const& key, std::uint32_t value);
  void set(std::string const& key, float value);
  void set(std::string const& key, bool value);
  void set(std::string const& key, std::string const& value);

  /// A tokenizer of one token for each byte; all of these are followed by `<s>`, `</s>` and `<unk>` when `specials` is
  /// set. @returns the number of tokens
  std::int64_t set_byte_tokenizer(bool specials = true);

  /// @param shape  innermost first, as ggml counts
  void add(std::string const& name, ggml_type type, std::vector<std::int64_t> const& shape, row_maker rows);

  /// @param data_alignment  of the first tensor in the file: 4096 lets tensors whose size is a multiple of it be read
  ///                        without copies through O_DIRECT; a power of two of at least 32
  /// @throws buddy::config_error when the file cannot be written
  void write(std::filesystem::path const& file, std::size_t data_alignment = 32);

 private:
  struct tensor {
    ggml_tensor const* about;
    row_maker rows;
  };

  [[nodiscard]] std::string full(std::string const& key) const { return key[0] == '.' ? architecture_ + key : key; }
  void align(std::size_t data_alignment);

  std::string architecture_;
  std::unique_ptr<gguf_context, void (*)(gguf_context*)> file_;
  std::unique_ptr<ggml_context, void (*)(ggml_context*)> shapes_;
  std::vector<tensor> tensors_;
};

}  // namespace llama_adapter
