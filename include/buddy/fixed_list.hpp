// SPDX-License-Identifier: Apache-2.0
/// @file
/// A list that never grows beyond what it was built for.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// All memory is taken at construction; `push` never allocates.
template <class T>
class fixed_list {
 public:
  explicit fixed_list(std::size_t capacity) : items_(capacity) {}

  void clear() noexcept { size_ = 0; }

  /// @pre size() < capacity()
  void push(T const& item) noexcept {
    BUDDY_ASSERT(size_ < items_.size());
    items_[size_++] = item;
  }

  /// @pre n <= capacity()
  void resize(std::uint32_t n) noexcept {
    BUDDY_ASSERT(n <= items_.size());
    size_ = n;
  }

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return items_.size(); }
  [[nodiscard]] T& operator[](std::uint32_t i) noexcept { return items_[i]; }
  [[nodiscard]] view<T> all() noexcept { return {items_.data(), size_}; }
  [[nodiscard]] view<T const> all() const noexcept { return {items_.data(), size_}; }

 private:
  std::vector<T> items_;
  std::uint32_t size_ = 0;
};

}  // namespace buddy::inline v0
