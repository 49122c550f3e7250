// SPDX-License-Identifier: Apache-2.0
/// @file
/// What buddy's own safetensors formats have in common: a format name, a version and sizes in the metadata.
#pragma once

#include <buddy/io/mapped_file.hpp>
#include <buddy/io/safetensors.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace buddy::inline v0::io {

/// The format's name and the only version that is read.
struct file_format {
  std::string_view name;
  std::string_view version;
};

/// @throws config_error when the file says that it is something else
inline void require_format(safetensors_file const& file, file_format const& wanted) {
  auto const require = [&](std::string const& key, std::string_view value) {
    std::string const& found = file.metadata_at(key);
    if (found != value)
      detail::fail(file.path(), "metadata '" + key + "' must be '" + std::string(value) + "', not '" + found + "'");
  };
  require("format", wanted.name);
  require("version", wanted.version);
}

/// A metadata text that is a whole number in [1, `most`], in plain digits.
/// @throws config_error when it is not
[[nodiscard]] inline std::uint64_t metadata_number(safetensors_file const& file, std::string const& key,
                                                   std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
  std::string const& text = file.metadata_at(key);
  std::uint64_t value = 0;
  auto const [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size() || value == 0 || value > most)
    detail::fail(file.path(), "metadata '" + key + "' must be a whole number in [1, " + std::to_string(most) +
                                  "], not '" + text + "'");
  return value;
}

/// Layers, experts and top-k of the model that a file speaks of, within the library's limits; no record size.
/// @throws config_error when one is missing or out of range
[[nodiscard]] inline model_shape metadata_shape(safetensors_file const& file) {
  model_shape s;
  s.n_layers = static_cast<std::uint16_t>(metadata_number(file, "layers", 0xffff));
  s.n_experts = static_cast<std::uint16_t>(metadata_number(file, "experts_per_layer", max_experts));
  s.top_k = static_cast<std::uint16_t>(metadata_number(file, "top_k", std::min<std::uint64_t>(max_top_k, s.n_experts)));
  return s;
}

/// The text of an optional metadata key.
[[nodiscard]] inline std::string metadata_or_empty(safetensors_file const& file, std::string const& key) {
  auto const it = file.metadata().find(key);
  return it == file.metadata().end() ? std::string{} : it->second;
}

}  // namespace buddy::inline v0::io
