// SPDX-License-Identifier: Apache-2.0
/// @file
/// Writes a file so that nobody ever sees half of it.
#pragma once

#include <buddy/io/mapped_file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace buddy::inline v0::io {

namespace detail {

/// Where a chain of symbolic links ends, whether or not that exists.
inline std::filesystem::path end_of_links(std::filesystem::path path) {
  constexpr int most_links = 40;  // as many as Linux follows
  std::error_code none;
  for (int i = 0; std::filesystem::is_symlink(path, none); ++i) {
    if (i == most_links) fail(path, "cannot be written: too many symbolic links");
    path = path.parent_path() / std::filesystem::read_symlink(path, none);  // an absolute one replaces the folder
  }
  return path;
}

}  // namespace detail

/// The file that writing to `path` would make or replace. A symbolic link stays, and what it points to is replaced.
/// @throws config_error when that is no regular file (a folder, a pipe, a device), or its folder is not there or not
///         writable
[[nodiscard]] inline std::filesystem::path write_target(std::filesystem::path const& path) {
  std::error_code none;
  auto const target = detail::end_of_links(std::filesystem::absolute(path, none));
  if (std::filesystem::exists(target, none) && !std::filesystem::is_regular_file(target, none))
    detail::fail(path, "cannot be written: is not a regular file");
  auto const folder = target.parent_path();
  if (!std::filesystem::is_directory(folder, none)) detail::fail(path, "cannot be written: there is no such folder");
  if (::access(folder.c_str(), W_OK | X_OK) != 0) detail::fail(path, "cannot be written: its folder is not writable");
  return target;
}

/// A file under a temporary name in the target's folder, renamed over the target by `commit()`, else removed.
///
/// The bytes are on the disk before the name changes: after a loss of power the target is the old file or the new one.
class pending_file {
 public:
  /// @throws config_error as `write_target` does
  explicit pending_file(std::filesystem::path const& path)
      : target_{write_target(path)}, temporary_{target_.string() + "." + std::to_string(::getpid()) + ".tmp"} {
    ::unlink(temporary_.c_str());  // left by a dead process that had the same id
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0) give_up("cannot be written");
  }

  pending_file(pending_file const&) = delete;
  pending_file& operator=(pending_file const&) = delete;

  ~pending_file() { discard(); }

  /// @throws config_error when the disk refuses
  void append(std::span<std::byte const> bytes) {
    while (!bytes.empty()) {
      ssize_t const n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) give_up("cannot be written");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  /// @throws config_error when the file cannot be synchronised, closed or renamed; then the target is as it was
  void commit() {
    if (::fsync(fd_) != 0 && errno != EINVAL) give_up("cannot be written");  // EINVAL: the file system cannot
    int const closed = ::close(std::exchange(fd_, -1));
    if (closed != 0 || std::rename(temporary_.c_str(), target_.c_str()) != 0) give_up("cannot be written");
    temporary_.clear();
  }

 private:
  void discard() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    temporary_.clear();
  }

  [[noreturn]] void give_up(char const* what) {
    std::string const reason = std::string(what) + ": " + std::strerror(errno);
    discard();
    detail::fail(target_, reason);
  }

  std::filesystem::path target_;
  std::string temporary_;
  int fd_{-1};
};

/// All parts one after another, or no change at all.
inline void write_file(std::filesystem::path const& target, std::initializer_list<std::span<std::byte const>> parts) {
  pending_file file{target};
  for (auto const part : parts) file.append(part);
  file.commit();
}

inline void write_file(std::filesystem::path const& target, std::string_view text) {
  write_file(target, {std::as_bytes(std::span{text})});
}

}  // namespace buddy::inline v0::io
