// SPDX-License-Identifier: Apache-2.0
/// @file
/// Memory of the host for bytes that will be pinned: whole pages, large ones, on the right node.
#pragma once

#include <buddy/error.hpp>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace buddy::inline v0::cuda {

/// Large pages of x86-64 and most others; records begin at such boundaries.
inline constexpr std::size_t large_page_bytes = std::size_t{2} << 20U;

/// The least multiple of `unit` that is not below `n`. @pre unit > 0, and the result fits
[[nodiscard]] constexpr std::size_t round_up(std::size_t n, std::size_t unit) noexcept {
  return (n + unit - 1) / unit * unit;
}

/// Owns one anonymous mapping, all zero, at a large-page boundary. No page is there before it is touched: choose the
/// node first, then fill.
class host_pages {
 public:
  host_pages() noexcept = default;

  /// @throws config_error when there is no address space for them
  explicit host_pages(std::size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    mapped_ = round_up(bytes, large_page_bytes) + large_page_bytes;
    map_ = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map_ == MAP_FAILED) {
      map_ = nullptr;
      v0::detail::throw_config_error("buddy::cuda::host_pages: the system has no room for a mapping of this size");
    }
    auto const address = reinterpret_cast<std::uintptr_t>(map_);
    data_ = static_cast<std::byte*>(map_) + (round_up(address, large_page_bytes) - address);
#if defined(MADV_HUGEPAGE)
    (void)::madvise(data_, round_up(bytes, large_page_bytes), MADV_HUGEPAGE);  // cheaper to pin; a hint
#endif
  }

  host_pages(host_pages&& other) noexcept
      : map_(std::exchange(other.map_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        mapped_(std::exchange(other.mapped_, 0)) {}

  host_pages& operator=(host_pages&& other) noexcept {
    std::swap(map_, other.map_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(mapped_, other.mapped_);
    return *this;
  }

  ~host_pages() {
    if (map_ != nullptr) ::munmap(map_, mapped_);
  }

  /// Asks for pages of this NUMA node, for those not yet touched; full nodes fall back to others.
  /// @returns whether the system took it; where it did not, pages come from wherever it likes
  bool prefer_node(int node) noexcept {
#if defined(SYS_mbind)
    constexpr int preferred = 1;  // MPOL_PREFERRED; <numaif.h> belongs to a library that we do not need
    constexpr int bits = 64;
    if (node < 0 || node >= bits || data_ == nullptr) return false;
    unsigned long const mask = 1UL << static_cast<unsigned>(node);
    return ::syscall(SYS_mbind, data_, round_up(bytes_, large_page_bytes), preferred, &mask, bits + 1, 0) == 0;
#else
    return node < 0;
#endif
  }

  /// Stays where it is when the owner is moved.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, bytes_}; }

 private:
  void* map_{};
  std::byte* data_{};
  std::size_t bytes_{};
  std::size_t mapped_{};
};

}  // namespace buddy::inline v0::cuda
