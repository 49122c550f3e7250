// SPDX-License-Identifier: Apache-2.0
/// @file
/// Where the bytes of every expert are: in a file that the model is mapped from, or in memory.
#pragma once

#include "src/moe_graph.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace llama_adapter {

/// A buffer whose address suits O_DIRECT; grows, never shrinks.
class aligned_scratch {
 public:
  aligned_scratch() = default;
  aligned_scratch(aligned_scratch const&) = delete;
  aligned_scratch& operator=(aligned_scratch const&) = delete;
  ~aligned_scratch();

  /// @throws std::bad_alloc
  [[nodiscard]] std::byte* at_least(std::size_t bytes);

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A file that was opened twice: through the page cache, and past it where the file system can.
class read_file {
 public:
  /// @throws buddy::config_error when it cannot be opened
  read_file(std::string path, bool direct);
  read_file(read_file&& other) noexcept;
  read_file& operator=(read_file&&) = delete;
  ~read_file();

  /// @throws buddy::config_error naming file, offset and reason when not all bytes can be read
  void read(std::byte* to, std::size_t bytes, std::uint64_t offset, aligned_scratch& scratch) const;

  /// Starts to bring exactly this range into the page cache.
  void want(std::uint64_t offset, std::uint64_t bytes) const noexcept;
  /// Forgets what the page cache holds of this range.
  void forget(std::uint64_t offset, std::uint64_t bytes) const noexcept;

  [[nodiscard]] std::string const& path() const noexcept { return path_; }

 private:
  void read_through(int fd, std::byte* to, std::size_t bytes, std::uint64_t offset) const;

  std::string path_;
  int cached_ = -1;
  int direct_ = -1;  // -1: the file system has no such thing
};

/// The pieces of a model's experts.
class expert_source {
 public:
  /// @param direct  read files past the page cache
  /// @throws buddy::config_error when expert tensors are not in host memory, or a mapped file cannot be opened
  expert_source(moe_graph const& graph, bool direct);

  /// Whether every piece comes from a file that the model is mapped from.
  [[nodiscard]] bool is_mapped() const noexcept { return all_mapped_; }

  /// Copies one part of one expert. Safe on several threads, each with a scratch of its own.
  /// @throws buddy::config_error when it cannot be read
  void read(std::size_t layer, std::size_t part, std::uint16_t expert, std::byte* to, aligned_scratch& scratch) const;

  /// @name Pages of a mapped model @{

  /// From now on nothing comes into the page cache that was not asked for.
  void manage_pages() const noexcept;
  /// Brings an expert into the page cache. @throws buddy::config_error when it cannot be read
  void populate(std::size_t layer, std::uint16_t expert) const;
  /// Drops the pages that hold nothing else. Whoever reads them afterwards gets them from the file again.
  void drop(std::size_t layer, std::uint16_t expert) const noexcept;
  /// @}

 private:
  struct location {
    std::byte* memory{};       // in the model
    std::size_t bytes{};       // of one expert
    int file = -1;             // index, or -1
    std::uint64_t offset = 0;  // of expert 0
  };

  location locate(expert_part const& part, bool direct);
  int file_of(std::string const& path, bool direct);

  std::vector<read_file> files_;
  std::vector<std::vector<location>> parts_;  // [layers][parts]
  std::size_t n_experts_;
  bool all_mapped_ = true;
};

}  // namespace llama_adapter
