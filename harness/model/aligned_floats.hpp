// SPDX-License-Identifier: Apache-2.0
/// @file
/// Floats that begin at a cache line.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>

namespace harness {

/// A fixed number of floats, 64-byte aligned, zero at first.
class aligned_floats {
 public:
  static constexpr std::align_val_t alignment{64};

  aligned_floats() = default;

  explicit aligned_floats(std::size_t size)
      : data_{static_cast<float*>(::operator new(size * sizeof(float), alignment))}, size_{size} {
    std::fill_n(data_.get(), size_, 0.0F);
  }

  [[nodiscard]] std::span<float> all() noexcept { return {data_.get(), size_}; }
  [[nodiscard]] std::span<float const> all() const noexcept { return {data_.get(), size_}; }
  [[nodiscard]] float* data() noexcept { return data_.get(); }
  [[nodiscard]] float const* data() const noexcept { return data_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Next size at which another array may begin with the same alignment.
  [[nodiscard]] static constexpr std::size_t padded(std::size_t size) noexcept { return (size + 15) / 16 * 16; }

 private:
  struct release {
    void operator()(float* p) const noexcept { ::operator delete(p, alignment); }
  };

  std::unique_ptr<float, release> data_;
  std::size_t size_{};
};

}  // namespace harness
