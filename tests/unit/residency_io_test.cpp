// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "harness/temporary_folder.hpp"
#include "unit/file_errors.hpp"

#include <buddy/io/residency_io.hpp>
#include <buddy/io/safetensors_writer.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

using buddy::io::saved_residency;
using test::error_of;
using test::has;

namespace {

using texts = std::map<std::string, std::string>;

saved_residency small() { return {"tiny-moe", {2, 8, 2, 0}, {{0, 3}, {1, 7}, {0, 0}}}; }

/// The error of reading rows that `write_residency` would refuse, with metadata changed or one part left out.
std::string error_with(std::vector<std::uint16_t> const& ids, texts const& changed = {},
                       std::string const& without = {}, buddy::io::tensor_shape const& shape = {3, 2}) {
  temporary_folder const folder;
  buddy::io::safetensors_writer file;
  texts metadata{{"format", "buddy.residency"}, {"version", "1"}, {"model", "tiny-moe"}, {"layers", "2"},
                 {"experts_per_layer", "8"},    {"top_k", "2"}};
  for (auto const& [key, value] : changed) metadata[key] = value;
  for (auto const& [key, value] : metadata)
    if (key != without) file.set(key, value);
  if (without != "experts") file.add("experts", shape, std::span{ids});
  file.write(folder.path() / "r");
  return error_of([&] { static_cast<void>(buddy::io::read_residency(folder.path() / "r")); });
}

}  // namespace

TEST_CASE("a residency is read as it was written", "[unit][residency_io]") {
  temporary_folder const folder;
  buddy::io::write_residency(folder.path() / "r", small());
  CHECK(buddy::io::read_residency(folder.path() / "r") == small());
  auto none = small();
  none.experts.clear();
  buddy::io::write_residency(folder.path() / "none", none);
  CHECK(buddy::io::read_residency(folder.path() / "none") == none);
}

TEST_CASE("a residency with impossible experts is refused", "[unit][residency_io]") {
  CHECK(error_with({0, 3, 1, 7, 0, 0}) == "no error");
  CHECK(has(error_with({0, 3, 2, 7, 0, 0}), "'experts': layer 2 must be below layers (row 1)"));
  CHECK(has(error_with({0, 3, 1, 8, 0, 0}), "'experts': id 8 must be below experts_per_layer (row 1)"));
  CHECK(has(error_with({0, 3, 1, 7, 0, 3}), "'experts': expert 3 of layer 0 must not occur twice (row 2)"));
  CHECK(has(error_with({65535, 65535, 1, 7, 0, 3}), "layer 65535 must be below layers (row 0)"));
  CHECK(has(error_with({0, 3, 1, 7, 0, 0}, {}, {}, {2, 3}), "shape must be [2, 2], not [2, 3]"));
  CHECK(has(error_with({0, 3, 1, 7, 0, 0}, {}, {}, {6}), "shape must be [6, 2], not [6]"));
}

TEST_CASE("a residency with experts of another number type is refused", "[unit][residency_io]") {
  temporary_folder const folder;
  buddy::io::safetensors_writer file;
  for (auto const& [key, value] : texts{{"format", "buddy.residency"},
                                        {"version", "1"},
                                        {"model", "m"},
                                        {"layers", "2"},
                                        {"experts_per_layer", "8"},
                                        {"top_k", "2"}})
    file.set(key, value);
  std::vector<std::uint32_t> const ids{0, 3};
  file.add("experts", {1, 2}, std::span{ids});
  file.write(folder.path() / "r");
  auto const error = error_of([&] { static_cast<void>(buddy::io::read_residency(folder.path() / "r")); });
  CHECK(has(error, "'experts'"));
  CHECK(has(error, "U16"));
}

TEST_CASE("a residency whose metadata do not fit is refused", "[unit][residency_io]") {
  std::vector<std::uint16_t> const ids{0, 3, 1, 7, 0, 0};
  CHECK(has(error_with(ids, {{"format", "buddy.profile"}}), "'format' must be 'buddy.residency'"));
  CHECK(has(error_with(ids, {{"version", "2"}}), "'version' must be '1'"));
  CHECK(has(error_with(ids, {{"layers", "1"}}), "layer 1 must be below layers"));
  CHECK(has(error_with(ids, {{"layers", "65536"}}), "'layers' must be a whole number in [1, 65535]"));
  CHECK(has(error_with(ids, {{"experts_per_layer", "1025"}}), "'experts_per_layer' must be a whole number"));
  CHECK(has(error_with(ids, {{"top_k", "9"}}), "'top_k' must be a whole number in [1, 8]"));
  for (auto const* const name : {"format", "version", "model", "layers", "experts_per_layer", "top_k", "experts"}) {
    INFO(name);
    CHECK(has(error_with(ids, {}, name), "'" + std::string(name) + "'"));
    CHECK(has(error_with(ids, {}, name), "is missing"));
  }
}

TEST_CASE("a residency that breaks the rules is not written", "[unit][residency_io]") {
  temporary_folder const folder;
  auto const error = [&](buddy::expert_key k) {
    auto saved = small();
    saved.experts.push_back(k);
    return error_of([&] { buddy::io::write_residency(folder.path() / "r", saved); });
  };
  CHECK(has(error({2, 0}), "'experts': layer 2"));
  CHECK(has(error({0, 8}), "'experts': id 8"));
  CHECK(has(error({1, 7}), "must not occur twice"));
  auto shapeless = small();
  shapeless.shape.top_k = 0;
  CHECK(has(error_of([&] { buddy::io::write_residency(folder.path() / "r", shapeless); }), "top_k must be"));
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a residency of another model is told apart", "[unit][residency_io]") {
  CHECK(model_difference(small(), "tiny-moe", {2, 8, 2, 99}).empty());
  CHECK(has(model_difference(small(), "other", {2, 8, 2, 99}), "of model 'tiny-moe'"));
  CHECK(has(model_difference(small(), "tiny-moe", {3, 8, 2, 99}), "another number of experts"));
}

TEST_CASE("a residency cut off anywhere is refused", "[unit][residency_io]") {
  temporary_folder const folder;
  auto const path = folder.path() / "r";
  buddy::io::write_residency(path, small());
  for (auto left = std::filesystem::file_size(path); left != 0; --left) {
    std::filesystem::resize_file(path, left - 1);
    INFO("bytes " << left - 1);
    CHECK(error_of([&] { static_cast<void>(buddy::io::read_residency(path)); }) != "no error");
  }
}
