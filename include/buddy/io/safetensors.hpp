// SPDX-License-Identifier: Apache-2.0
/// @file
/// Reads safetensors files: eight bytes of header length, a JSON header, then the tensors' bytes.
#pragma once

#include <buddy/error.hpp>
#include <buddy/io/mapped_file.hpp>
#include <buddy/io/safetensors_header.hpp>
#include <buddy/io/tensor_view.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace buddy::inline v0::io {

static_assert(std::endian::native == std::endian::little, "safetensors files are little endian, and so is this reader");

/// Longest header that is read; the format's own limit.
inline constexpr std::uint64_t max_header_bytes = 100'000'000;

/// One open file, memory-mapped; every tensor in it has been checked against the file's size.
///
/// The file is taken as hostile: length, JSON depth, duplicate names, dtypes, shapes, overflow, offsets, overlap and
/// holes are checked before anything is used. Each error names the file, the tensor and the rule. Source:
/// github.com/safetensors/safetensors, format description. Differs from it: fields that it does not name are refused,
/// and so are dtypes of less than a byte.
class safetensors_file {
 public:
  /// @throws config_error when the file breaks a rule
  [[nodiscard]] static safetensors_file open(std::filesystem::path const& path) { return safetensors_file{path}; }

  [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }

  /// The `__metadata__` of the header.
  [[nodiscard]] std::map<std::string, std::string> const& metadata() const noexcept { return metadata_; }

  /// All tensors, sorted by name.
  [[nodiscard]] std::span<tensor_view const> tensors() const noexcept { return tensors_; }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (tensor_view const& t : tensors_) all.push_back(t.name);
    return all;
  }

  /// Null when there is none of that name.
  [[nodiscard]] tensor_view const* find(std::string_view name) const noexcept {
    auto const it = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                     [](tensor_view const& t, std::string_view n) { return t.name < n; });
    return it != tensors_.end() && it->name == name ? &*it : nullptr;
  }

  /// @throws config_error when there is none of that name
  [[nodiscard]] tensor_view const& at(std::string_view name) const {
    tensor_view const* t = find(name);
    if (t == nullptr) fail(name, "is missing");
    return *t;
  }

  /// @throws config_error when there is none of that name, dtype and shape
  [[nodiscard]] tensor_view const& at(std::string_view name, dtype type, tensor_shape const& shape) const {
    tensor_view const& t = at(name, shape);
    if (t.type != type)
      fail(name, "dtype must be " + std::string(to_string(type)) + ", not " + std::string(to_string(t.type)));
    return t;
  }

  /// @throws config_error when there is none of that name and shape
  [[nodiscard]] tensor_view const& at(std::string_view name, tensor_shape const& shape) const {
    tensor_view const& t = at(name);
    if (t.shape != shape) fail(name, "shape must be " + to_string(shape) + ", not " + to_string(t.shape));
    return t;
  }

  /// The text of a metadata key. @throws config_error when there is none
  [[nodiscard]] std::string const& metadata_at(std::string const& key) const {
    auto const it = metadata_.find(key);
    if (it == metadata_.end()) detail::fail(path_, "metadata '" + key + "' is missing");
    return it->second;
  }

  /// For what a caller's own format asks of a tensor.
  [[noreturn]] void fail(std::string_view tensor, std::string const& rule) const {
    detail::fail(path_, "tensor '" + std::string(tensor) + "': " + rule);
  }

 private:
  explicit safetensors_file(std::filesystem::path const& path) : path_{path}, map_{path} {
    auto const header = header_text();
    detail::header_events events{path_};
    nlohmann::json::sax_parse(header.begin(), header.end(), &events);
    auto const data = map_.bytes().subspan(8 + header.size());
    detail::check_layout(path_, events.entries, data.size());
    metadata_ = std::move(events.metadata);
    for (detail::tensor_entry& e : events.entries)
      tensors_.push_back(
          {std::move(e.name), e.type, std::move(e.shape), data.subspan(e.offsets[0], e.offsets[1] - e.offsets[0])});
    std::sort(tensors_.begin(), tensors_.end(),
              [](tensor_view const& a, tensor_view const& b) { return a.name < b.name; });
  }

  [[nodiscard]] std::string_view header_text() const {
    auto const bytes = map_.bytes();
    if (bytes.size() < 8) detail::fail(path_, "is shorter than the eight bytes of a header length");
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    if (length > max_header_bytes) detail::fail(path_, "header is longer than 100 MB");
    if (length > bytes.size() - 8) detail::fail(path_, "header is cut off");
    std::string_view const text{reinterpret_cast<char const*>(bytes.data()) + 8, static_cast<std::size_t>(length)};
    if (!text.starts_with('{')) detail::fail(path_, "header must be a JSON object");
    return text;
  }

  std::filesystem::path path_;
  mapped_file map_;
  std::map<std::string, std::string> metadata_;
  std::vector<tensor_view> tensors_;
};

}  // namespace buddy::inline v0::io
