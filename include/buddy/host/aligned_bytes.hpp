// SPDX-License-Identifier: Apache-2.0
/// @file
/// Zeroed memory on a cache line.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

namespace buddy::inline v0::host {

/// Owns bytes aligned to 64, all zero at first.
class aligned_bytes {
 public:
  static constexpr std::align_val_t alignment{64};

  explicit aligned_bytes(std::size_t n) : data_{static_cast<std::byte*>(::operator new(n, alignment))} {
    std::memset(data_.get(), 0, n);
  }

  [[nodiscard]] std::byte* get() const noexcept { return data_.get(); }

 private:
  struct release {
    void operator()(std::byte* p) const noexcept { ::operator delete(p, alignment); }
  };
  std::unique_ptr<std::byte, release> data_;
};

}  // namespace buddy::inline v0::host
