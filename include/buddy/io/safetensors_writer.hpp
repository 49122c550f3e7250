// SPDX-License-Identifier: Apache-2.0
/// @file
/// Writes safetensors files: the same tensors and metadata give the same bytes, in whatever order they were added.
#pragma once

#include <buddy/error.hpp>
#include <buddy/io/tensor_view.hpp>
#include <buddy/io/write_file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace buddy::inline v0::io {

/// Collects tensors and metadata, then writes them in one go.
///
/// Tensors are laid out by falling element size, then by name, so each is aligned to its element.
class safetensors_writer {
 public:
  void set(std::string const& key, std::string const& value) { metadata_[key] = value; }

  /// Copies `bytes`.
  /// @throws config_error when the name was added before, or when the shape does not match the bytes
  void add(std::string const& name, dtype type, tensor_shape const& shape, std::span<std::byte const> bytes) {
    if (name == "__metadata__") refuse(name, "is a reserved name");
    auto const expected = checked_bytes(type, shape);
    if (!expected || *expected != bytes.size()) refuse(name, "shape " + to_string(shape) + " does not match its bytes");
    if (!tensors_.try_emplace(name, tensor{type, shape, {bytes.begin(), bytes.end()}}).second)
      refuse(name, "was added before");
  }

  /// Elements of a C++ number type.
  template <class T>
  void add(std::string const& name, tensor_shape const& shape, std::span<T const> elements) {
    add(name, dtype_of<T>(), shape, std::as_bytes(elements));
  }

  /// @throws config_error when the file cannot be written or a name is not UTF-8; then there is no new file
  void write(std::filesystem::path const& path) const {
    std::vector<named_tensor const*> order;  // by name, as the map is; the sort keeps that among equals
    for (named_tensor const& t : tensors_) order.push_back(&t);
    std::stable_sort(order.begin(), order.end(), [](named_tensor const* a, named_tensor const* b) {
      return element_bytes(a->second.type) > element_bytes(b->second.type);
    });
    std::string const header = header_text(order);
    std::uint64_t const length = header.size();
    pending_file file{path};
    file.append(std::as_bytes(std::span{&length, 1}));
    file.append(std::as_bytes(std::span{header}));
    for (named_tensor const* t : order) file.append(t->second.bytes);
    file.commit();
  }

 private:
  struct tensor {
    dtype type{};
    tensor_shape shape;
    std::vector<std::byte> bytes;
  };
  using named_tensor = std::pair<std::string const, tensor>;

  [[noreturn]] static void refuse(std::string const& name, std::string const& rule) {
    v0::detail::throw_config_error(("safetensors_writer: tensor '" + name + "' " + rule).c_str());
  }

  /// A JSON string. A text that is not UTF-8 loses bytes on the way, which is how it is found out.
  static std::string quoted(std::string const& text) {
    std::string json = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore);
    if (nlohmann::json::parse(json, nullptr, false) != nlohmann::json(text))
      v0::detail::throw_config_error("safetensors_writer: a name or metadata text is not UTF-8");
    return json;
  }

  std::string header_text(std::vector<named_tensor const*> const& order) const {
    std::string text = "{\"__metadata__\":{";
    for (auto const& [key, value] : metadata_)
      text += (text.back() == '{' ? "" : ",") + quoted(key) + ":" + quoted(value);
    text += "}";
    std::uint64_t offset = 0;
    for (named_tensor const* entry : order) {
      tensor const& t = entry->second;
      text += "," + quoted(entry->first) + ":{\"dtype\":\"" + std::string(to_string(t.type)) + "\"";
      text += ",\"shape\":" + to_string(t.shape) + ",\"data_offsets\":[" + std::to_string(offset) + ",";
      offset += t.bytes.size();
      text += std::to_string(offset) + "]}";
    }
    text += "}";
    text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data begin at a multiple of eight
    return text;
  }

  std::map<std::string, std::string> metadata_;
  std::map<std::string, tensor> tensors_;
};

}  // namespace buddy::inline v0::io
