// SPDX-License-Identifier: Apache-2.0
/// @file
/// A whole file as read-only memory, without copying it.
#pragma once

#include <buddy/error.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

namespace buddy::inline v0::io {

namespace detail {

/// Every error of this folder reads "FILE: rule".
[[noreturn, gnu::noinline, gnu::cold]] inline void fail(std::filesystem::path const& file, std::string const& rule) {
  v0::detail::throw_config_error((file.string() + ": " + rule).c_str());
}

}  // namespace detail

/// Owns one POSIX mapping. Replace such a file by renaming a new one over it: a file that shrinks while it is mapped
/// ends the program at the next access.
class mapped_file {
 public:
  mapped_file() noexcept = default;

  /// @throws config_error when the path is not a readable regular file
  explicit mapped_file(std::filesystem::path const& path) {
    int const fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would wait for its writer
    if (fd < 0) detail::fail(path, std::string("cannot be opened: ") + std::strerror(errno));
    struct stat st{};
    bool const regular = ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (regular && st.st_size > 0) {
      size_ = static_cast<std::size_t>(st.st_size);
      data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    int const mapping_error = errno;
    ::close(fd);
    if (!regular) detail::fail(path, "is not a regular file");
    if (data_ == MAP_FAILED) {
      data_ = nullptr;
      size_ = 0;
      detail::fail(path, std::string("cannot be mapped: ") + std::strerror(mapping_error));
    }
  }

  mapped_file(mapped_file&& other) noexcept
      : data_{std::exchange(other.data_, nullptr)}, size_{std::exchange(other.size_, 0)} {}

  mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  ~mapped_file() {
    if (data_ != nullptr) ::munmap(data_, size_);
  }

  /// Stays where it is when the owner is moved.
  [[nodiscard]] std::span<std::byte const> bytes() const noexcept {
    return {static_cast<std::byte const*>(data_), size_};
  }

 private:
  void* data_{};
  std::size_t size_{};
};

}  // namespace buddy::inline v0::io
