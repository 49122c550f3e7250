// SPDX-License-Identifier: Apache-2.0
/// @file
/// Keys and values of one sequence.
#pragma once

#include "harness/model/aligned_floats.hpp"
#include "harness/model/config.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

namespace harness {

/// Rows of one key-value head of one layer lie in a row, so that attention reads memory forwards.
class kv_cache {
 public:
  /// @param capacity  most positions; 0 means all that the model knows
  explicit kv_cache(model_config const& config, std::size_t capacity = 0)
      : n_heads_{config.n_kv_heads},
        head_dim_{config.head_dim},
        capacity_{capacity == 0 || capacity > config.max_positions ? config.max_positions : capacity},
        keys_{config.n_layers * n_heads_ * capacity_ * head_dim_},
        values_{keys_.size()} {}

  kv_cache(kv_cache const& other)
      : n_heads_{other.n_heads_},
        head_dim_{other.head_dim_},
        capacity_{other.capacity_},
        keys_{other.keys_.size()},
        values_{other.values_.size()},
        size_{other.size_} {
    std::ranges::copy(other.keys_.all(), keys_.data());
    std::ranges::copy(other.values_.all(), values_.data());
  }
  kv_cache& operator=(kv_cache const&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// Begins another sequence.
  void reset() noexcept { size_ = 0; }

  /// `n` positions have been filled in every layer. @pre size() + n <= capacity()
  void advance(std::size_t n) noexcept { size_ += n; }

  /// The last `n` positions are to be filled again. @pre n <= size()
  void retract(std::size_t n) noexcept { size_ -= n; }

  /// [capacity, head_dim] of one head
  [[nodiscard]] std::span<float> keys(std::size_t layer, std::size_t head) noexcept { return part(keys_, layer, head); }
  [[nodiscard]] std::span<float> values(std::size_t layer, std::size_t head) noexcept {
    return part(values_, layer, head);
  }

 private:
  std::span<float> part(aligned_floats& all, std::size_t layer, std::size_t head) const noexcept {
    std::size_t const size = capacity_ * head_dim_;
    return all.all().subspan((layer * n_heads_ + head) * size, size);
  }

  std::size_t n_heads_, head_dim_, capacity_;
  aligned_floats keys_, values_;
  std::size_t size_{};
};

}  // namespace harness
