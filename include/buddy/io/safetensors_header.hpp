// SPDX-License-Identifier: Apache-2.0
/// @file
/// Reads the JSON header of a safetensors file, trusting nothing in it.
#pragma once

#include <buddy/io/mapped_file.hpp>
#include <buddy/io/tensor_view.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace buddy::inline v0::io::detail {

/// What the header says of one tensor; offsets count from the end of the header.
struct tensor_entry {
  std::string name;
  dtype type{};
  tensor_shape shape;
  tensor_shape offsets;  ///< [2] first byte, one past the last
};

/// Takes the header's JSON as a stream of events, so that depth, duplicate names and types are refused where they stand
/// and no document is ever built. The grammar it accepts:
/// {"__metadata__": {key: string}, NAME: {"dtype": string, "shape": [unsigned], "data_offsets": [unsigned]}}
class header_events : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit header_events(std::filesystem::path const& file) : file_{file} {}

  std::vector<tensor_entry> entries;
  std::map<std::string, std::string> metadata;

  bool null() override { refuse("a null"); }
  bool boolean(bool) override { refuse("a boolean"); }
  bool number_integer(number_integer_t) override { refuse("a negative number"); }
  bool number_float(number_float_t, string_t const&) override { refuse("a number that is no unsigned 64-bit integer"); }
  bool binary(binary_t&) override { refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 3) refuse("a number");
    (field_ == "shape" ? entries.back().shape : entries.back().offsets).push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_) {
      metadata.at(field_) = value;
    } else if (depth_ == 2 && field_ == "dtype") {
      auto const type = parse_dtype(value);
      if (!type) fail_here("dtype '" + value + "' is not known");
      entries.back().type = *type;
    } else {
      refuse("a string");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (depth_ > 1 || !expected_object_) refuse("an object");
    expected_object_ = false;
    ++depth_;
    fields_.clear();
    return true;
  }

  bool key(string_t& value) override {
    if (depth_ == 1) {
      if (!names_.insert(value).second) detail::fail(file_, "tensor '" + value + "' occurs twice in the header");
      in_metadata_ = value == "__metadata__";
      if (!in_metadata_) entries.push_back({value, {}, {}, {}});
      expected_object_ = true;
    } else {
      field_ = value;
      if (!fields_.insert(value).second) fail_here("'" + value + "' occurs twice in the header");
      if (in_metadata_)
        metadata.emplace(value, std::string{});
      else if (value != "dtype" && value != "shape" && value != "data_offsets")
        fail_here("field '" + value + "' is not known");
    }
    return true;
  }

  bool end_object() override {
    if (depth_ == 2 && !in_metadata_ && fields_.size() != 3) fail_here("needs dtype, shape and data_offsets");
    --depth_;
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || field_ == "dtype") refuse("an array");
    ++depth_;
    return true;
  }

  bool end_array() override {
    --depth_;
    return true;
  }

  bool parse_error(std::size_t position, std::string const&, nlohmann::detail::exception const&) override {
    detail::fail(file_, "header is not valid JSON at byte " + std::to_string(position));
  }

 private:
  [[noreturn]] void fail_here(std::string const& rule) const {
    std::string const place = names_.empty() ? "header" : in_metadata_ ? "__metadata__" : entries.back().name;
    detail::fail(file_, (names_.empty() ? place : "tensor '" + place + "'") + ": " + rule);
  }
  [[noreturn]] void refuse(std::string const& what) const { fail_here(what + " stands where it may not"); }

  std::filesystem::path const& file_;
  std::set<std::string> names_;   // top level
  std::set<std::string> fields_;  // of the object being read
  std::string field_;
  int depth_{};  // 1: the header object, 2: a tensor or the metadata, 3: an array
  bool in_metadata_{};
  bool expected_object_{true};
};

/// Each tensor's size is its shape's, and together, sorted by offset, they fill [0, data_bytes) without hole or
/// overlap.
inline void check_layout(std::filesystem::path const& file, std::vector<tensor_entry>& entries,
                         std::uint64_t data_bytes) {
  auto const fail_at = [&](tensor_entry const& e, std::string const& rule) {
    fail(file, "tensor '" + e.name + "': " + rule);
  };
  for (tensor_entry const& e : entries) {
    if (e.offsets.size() != 2) fail_at(e, "data_offsets must be two numbers");
    if (e.offsets[0] > e.offsets[1]) fail_at(e, "data_offsets are out of order");
    if (e.offsets[1] > data_bytes) fail_at(e, "data_offsets reach beyond the end of the file");
    auto const bytes = checked_bytes(e.type, e.shape);
    if (!bytes) fail_at(e, "shape " + to_string(e.shape) + " overflows 64 bits");
    if (*bytes != e.offsets[1] - e.offsets[0])
      fail_at(e, "shape " + to_string(e.shape) + " does not match data_offsets");
  }
  std::sort(entries.begin(), entries.end(),
            [](tensor_entry const& a, tensor_entry const& b) { return a.offsets < b.offsets; });
  std::uint64_t end = 0;
  for (tensor_entry const& e : entries) {
    if (e.offsets[0] != end) fail_at(e, e.offsets[0] < end ? "overlaps another tensor" : "leaves a hole before it");
    end = e.offsets[1];
  }
  if (end != data_bytes) fail(file, "bytes after the last tensor belong to none");
}

}  // namespace buddy::inline v0::io::detail
