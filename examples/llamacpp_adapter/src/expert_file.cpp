// SPDX-License-Identifier: Apache-2.0
/// @file
/// llama.cpp does not say which file a model is from; the kernel does, for every mapping, split files included.
#include "src/expert_file.hpp"

#include <buddy/error.hpp>

#include <fcntl.h>
#include <ggml-backend.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <sstream>
#include <utility>

#ifndef MADV_POPULATE_READ  // Linux 5.14
#define MADV_POPULATE_READ 22
#endif

namespace llama_adapter {

namespace {

constexpr std::size_t page = 4096;  // also what O_DIRECT asks of addresses, offsets and sizes

constexpr std::uint64_t down(std::uint64_t x) { return x / page * page; }
constexpr std::uint64_t up(std::uint64_t x) { return down(x + page - 1); }

struct mapping {
  std::string path;
  std::uint64_t offset{};  // in the file, of the address that was looked for
};

/// The file behind an address; an empty path when it is plain memory.
mapping mapping_of(void const* address) {
  auto const wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps{"/proc/self/maps"};
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    unsigned long long offset = 0;
    char rights[5], device[32];
    unsigned long long inode = 0;
    int path_at = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %llx %31s %llu %n", &begin, &end, rights, &offset, device, &inode,
                    &path_at) < 6)
      continue;
    if (wanted < begin || wanted >= end) continue;
    if (inode == 0) return {};
    return {line.substr(static_cast<std::size_t>(path_at)), offset + (wanted - begin)};
  }
  return {};
}

[[noreturn]] void fail_read(std::string const& path, std::uint64_t offset, std::string const& why) {
  throw buddy::config_error(path + ": offset " + std::to_string(offset) + ": " + why);
}

}  // namespace

aligned_scratch::~aligned_scratch() { std::free(data_); }

std::byte* aligned_scratch::at_least(std::size_t bytes) {
  if (bytes <= size_) return data_;
  std::free(data_);
  size_ = up(bytes);
  data_ = static_cast<std::byte*>(std::aligned_alloc(page, size_));
  if (data_ == nullptr) throw std::bad_alloc{};
  return data_;
}

read_file::read_file(std::string path, bool direct) : path_(std::move(path)) {
  cached_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (cached_ < 0) throw buddy::config_error(path_ + ": " + std::strerror(errno));
  if (direct) direct_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
}

read_file::read_file(read_file&& other) noexcept
    : path_(std::move(other.path_)),
      cached_(std::exchange(other.cached_, -1)),
      direct_(std::exchange(other.direct_, -1)) {}

read_file::~read_file() {
  if (cached_ >= 0) close(cached_);
  if (direct_ >= 0) close(direct_);
}

void read_file::read_through(int fd, std::byte* to, std::size_t bytes, std::uint64_t offset) const {
  for (std::size_t done = 0; done != bytes;) {
    ssize_t const n = pread(fd, to + done, bytes - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_read(path_, offset + done, std::strerror(errno));
    if (n == 0) fail_read(path_, offset + done, "the file ends here, in the middle of an expert");
    done += static_cast<std::size_t>(n);
  }
}

void read_file::read(std::byte* to, std::size_t bytes, std::uint64_t offset, aligned_scratch& scratch) const {
  if (direct_ < 0) {
    read_through(cached_, to, bytes, offset);
    return;
  }
  bool const fits = reinterpret_cast<std::uintptr_t>(to) % page == 0 && bytes % page == 0 && offset % page == 0;
  if (fits) {
    read_through(direct_, to, bytes, offset);
    return;
  }
  // The last page of the file may be short: what must be there is the piece, not the page.
  std::uint64_t const begin = down(offset);
  std::size_t const all = up(offset + bytes) - begin;
  std::size_t const least = offset + bytes - begin;
  std::byte* const pages = scratch.at_least(all);
  for (std::size_t done = 0; done < least;) {
    ssize_t const n = pread(direct_, pages + done, all - done, static_cast<off_t>(begin + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_read(path_, begin + done, std::strerror(errno));
    if (n == 0) fail_read(path_, begin + done, "the file ends here, in the middle of an expert");
    done += static_cast<std::size_t>(n);
  }
  std::memcpy(to, pages + (offset - begin), bytes);
}

void read_file::forget(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  posix_fadvise(cached_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
}

void read_file::want(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  posix_fadvise(cached_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
}

expert_source::expert_source(moe_graph const& graph, bool direct) : n_experts_(graph.n_experts) {
  for (moe_layer const& layer : graph.layers) {
    auto& locations = parts_.emplace_back();
    for (expert_part const& part : layer.parts) locations.push_back(locate(part, direct));
  }
}

expert_source::location expert_source::locate(expert_part const& part, bool direct) {
  ggml_tensor const* const t = part.tensor;
  if (t->buffer == nullptr || !ggml_backend_buffer_is_host(t->buffer) || t->extra != nullptr)
    throw buddy::config_error("llama.cpp adapter: tensor '" + std::string{t->name} + "' is in '" +
                              (t->buffer == nullptr ? "no buffer" : ggml_backend_buffer_name(t->buffer)) +
                              "': call buddy_llama_model_params before loading, so that experts stay in host memory "
                              "and are not repacked");
  auto const [path, offset] = mapping_of(t->data);
  if (path.empty()) all_mapped_ = false;
  return {static_cast<std::byte*>(t->data), part.bytes(), path.empty() ? -1 : file_of(path, direct), offset};
}

int expert_source::file_of(std::string const& path, bool direct) {
  for (std::size_t f = 0; f != files_.size(); ++f)
    if (files_[f].path() == path) return static_cast<int>(f);
  files_.emplace_back(path, direct);
  return static_cast<int>(files_.size()) - 1;
}

void expert_source::read(std::size_t layer, std::size_t part, std::uint16_t expert, std::byte* to,
                         aligned_scratch& scratch) const {
  location const& at = parts_[layer][part];
  std::size_t const first = at.bytes * expert;
  if (at.file < 0) {
    std::memcpy(to, at.memory + first, at.bytes);
  } else {
    files_[static_cast<std::size_t>(at.file)].read(to, at.bytes, at.offset + first, scratch);
  }
}

/// Reading ahead at a fault would bring in what nobody asked for, and in blocks that can only leave as a whole.
void expert_source::manage_pages() const noexcept {
  for (auto const& layer : parts_) {
    for (location const& at : layer) {
      std::uintptr_t const from = down(reinterpret_cast<std::uintptr_t>(at.memory));
      std::uintptr_t const to = up(reinterpret_cast<std::uintptr_t>(at.memory) + at.bytes * n_experts_);
      madvise(reinterpret_cast<void*>(from), to - from, MADV_RANDOM);
    }
  }
}

void expert_source::populate(std::size_t layer, std::uint16_t expert) const {
  for (location const& at : parts_[layer])
    files_[static_cast<std::size_t>(at.file)].want(at.offset + at.bytes * expert, at.bytes);
  for (location const& at : parts_[layer]) {
    auto const begin = reinterpret_cast<std::uintptr_t>(at.memory) + at.bytes * expert;
    std::uintptr_t const from = down(begin);
    if (madvise(reinterpret_cast<void*>(from), begin + at.bytes - from, MADV_POPULATE_READ) == 0) continue;
    auto const& file = files_[static_cast<std::size_t>(at.file)];
    fail_read(file.path(), at.offset + at.bytes * expert, std::strerror(errno));
  }
}

void expert_source::drop(std::size_t layer, std::uint16_t expert) const noexcept {
  for (location const& at : parts_[layer]) {
    std::size_t const first = at.bytes * expert;
    auto const begin = reinterpret_cast<std::uintptr_t>(at.memory) + first;
    std::uintptr_t const from = up(begin);
    std::uintptr_t const to = down(begin + at.bytes);
    if (from >= to) continue;
    madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
    files_[static_cast<std::size_t>(at.file)].forget(at.offset + first + (from - begin), to - from);
  }
}

}  // namespace llama_adapter
