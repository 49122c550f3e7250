// SPDX-License-Identifier: Apache-2.0
// Hostile safetensors files: each broken in one way, then a good one with every byte changed and every length cut.
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/io/safetensors.hpp>
#include <buddy/io/write_file.hpp>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace {

namespace io = buddy::io;

struct scratch {
  scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "buddy-fuzz-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder = name;
    file = folder / "hostile.safetensors";
  }
  scratch(scratch const&) = delete;
  scratch& operator=(scratch const&) = delete;
  ~scratch() { std::filesystem::remove_all(folder); }
  std::filesystem::path folder, file;
};

std::string with_length(std::uint64_t length, std::string const& rest) {
  std::string all(8, '\0');
  std::memcpy(all.data(), &length, 8);
  return all + rest;
}

std::string whole(std::string const& header, std::size_t data_bytes) {
  return with_length(header.size(), header + std::string(data_bytes, 'x'));
}

/// What the reader says; reads all that it accepts, so that a wrong view is found by the sanitizer.
std::string verdict(scratch const& s, std::string const& content) {
  io::write_file(s.file, content);
  try {
    auto const file = io::safetensors_file::open(s.file);
    std::uint64_t sum = 0;
    for (io::tensor_view const& t : file.tensors())
      for (std::byte const b : t.bytes) sum += static_cast<std::uint64_t>(b);
    return "accepted " + std::to_string(sum);
  } catch (buddy::config_error const& e) {
    return e.what();
  }
}

std::string const good_header =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";

struct hostile {
  char const* rule;
  std::string content;
};

std::vector<hostile> hostile_files() {
  auto const one = [](std::string const& fields, std::size_t n) { return whole("{\"t\":{" + fields + "}}", n); };
  return {
      {"shorter than the eight bytes", ""},
      {"shorter than the eight bytes", "1234567"},
      {"longer than 100 MB", with_length(UINT64_MAX, "{}")},
      {"longer than 100 MB", with_length(100'000'001, "{}")},
      {"header is cut off", with_length(3, "{}")},
      {"header is cut off", with_length(99'999'999, "{}")},
      {"must be a JSON object", with_length(0, "")},
      {"must be a JSON object", whole("[]", 0)},
      {"must be a JSON object", whole(" {}", 0)},
      {"not valid JSON", whole("{\"t\":", 0)},
      {"not valid JSON", whole("{}{}", 0)},
      {"not valid JSON", whole("{\"\xff\":{}}", 0)},
      {"an array stands where it may not", whole("{\"t\":" + std::string(1'000'000, '['), 0)},
      {"an object stands where it may not", whole("{\"t\":{\"shape\":{\"a\":{\"a\":{}}}}}", 0)},
      {"a number stands where it may not", whole("{\"t\":3}", 0)},
      {"a null stands where it may not", whole("{\"t\":null}", 0)},
      {"a string stands where it may not", whole("{\"t\":\"F32\"}", 0)},
      {"an array stands where it may not", whole("{\"__metadata__\":{\"k\":[]}}", 0)},
      {"a number stands where it may not", whole("{\"__metadata__\":{\"k\":1}}", 0)},
      {"an object stands where it may not", whole("{\"__metadata__\":{\"k\":{}}}", 0)},
      {"'k' occurs twice", whole(R"({"__metadata__":{"k":"1","k":"2"}})", 0)},
      {"tensor 't' occurs twice", whole(R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                                        R"("t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                                        0)},
      {"'shape' occurs twice", one(R"("dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1])", 1)},
      {"field 'strides' is not known", one(R"("dtype":"U8","shape":[1],"data_offsets":[0,1],"strides":[1])", 1)},
      {"dtype 'F4' is not known", one(R"("dtype":"F4","shape":[1],"data_offsets":[0,1])", 1)},
      {"dtype 'u8' is not known", one(R"("dtype":"u8","shape":[1],"data_offsets":[0,1])", 1)},
      {"needs dtype, shape and data_offsets", one(R"("dtype":"U8","shape":[1])", 1)},
      {"needs dtype, shape and data_offsets", one("", 0)},
      {"a number stands where it may not", one(R"("dtype":8,"shape":[1],"data_offsets":[0,1])", 1)},
      {"a number stands where it may not", one(R"("dtype":"U8","shape":1,"data_offsets":[0,1])", 1)},
      {"a negative number", one(R"("dtype":"U8","shape":[-1],"data_offsets":[0,1])", 1)},
      {"no unsigned 64-bit integer", one(R"("dtype":"U8","shape":[1.0],"data_offsets":[0,1])", 1)},
      {"no unsigned 64-bit integer", one(R"("dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1])", 1)},
      {"a boolean", one(R"("dtype":"BOOL","shape":[true],"data_offsets":[0,1])", 1)},
      {"data_offsets must be two numbers", one(R"("dtype":"U8","shape":[1],"data_offsets":[0])", 1)},
      {"data_offsets must be two numbers", one(R"("dtype":"U8","shape":[1],"data_offsets":[0,1,1])", 1)},
      {"out of order", one(R"("dtype":"U8","shape":[1],"data_offsets":[1,0])", 1)},
      {"beyond the end", one(R"("dtype":"U8","shape":[2],"data_offsets":[0,2])", 1)},
      {"beyond the end", one(R"("dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615])", 1)},
      {"does not match data_offsets", one(R"("dtype":"U8","shape":[2],"data_offsets":[0,1])", 1)},
      {"does not match data_offsets", one(R"("dtype":"U16","shape":[1],"data_offsets":[0,1])", 1)},
      // 2^32 * 2^32 = 2^64, which is 0 in 64 bits.
      {"overflows 64 bits", one(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])", 0)},
      // 2^61 elements of 8 bytes are 2^64 bytes.
      {"overflows 64 bits", one(R"("dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0])", 0)},
      {"leaves a hole before it", one(R"("dtype":"U8","shape":[1],"data_offsets":[1,2])", 2)},
      {"belong to none", one(R"("dtype":"U8","shape":[1],"data_offsets":[0,1])", 2)},
      {"belong to none", whole("{}", 1)},
      {"overlaps another tensor", whole(R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                        R"("u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                                        3)},
      {"overlaps another tensor", whole(R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                        R"("u":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                                        2)},
  };
}

}  // namespace

TEST_CASE("a hostile safetensors file is refused by the rule it breaks", "[fuzz][io]") {
  scratch const s;
  for (hostile const& h : hostile_files()) {
    std::string const said = verdict(s, h.content);
    CAPTURE(h.rule, said);
    CHECK(said.find(h.rule) != std::string::npos);
    CHECK(said.starts_with(s.file.string() + ": "));
  }
}

TEST_CASE("odd but lawful safetensors files are accepted", "[fuzz][io]") {
  scratch const s;
  // 11 bytes 'x' = 120 each.
  CHECK(verdict(s, whole(good_header, 11)) == "accepted 1320");
  CHECK(verdict(s, whole(good_header + "    ", 11)) == "accepted 1320");
  CHECK(verdict(s, whole("{}", 0)) == "accepted 0");
  // In the header the second tensor may come first.
  CHECK(verdict(s, whole(R"({"u":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},)"
                         R"("t":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})",
                         2)) == "accepted 240");
  // Tensors without elements share an offset.
  CHECK(verdict(s, whole(R"({"u":{"dtype":"F64","shape":[0,7],"data_offsets":[0,0]},)"
                         R"("t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                         1)) == "accepted 120");
}

TEST_CASE("a safetensors file cut off at any length is refused", "[fuzz][io]") {
  scratch const s;
  std::string const good = whole(good_header, 11);
  for (std::size_t n = 0; n != good.size(); ++n) {
    CAPTURE(n);
    CHECK(verdict(s, good.substr(0, n)).find("accepted") == std::string::npos);
  }
}

TEST_CASE("a safetensors file with any byte changed is refused or read within its bounds", "[fuzz][io]") {
  scratch const s;
  std::string const good = whole(good_header, 11);
  std::size_t accepted = 0;
  std::size_t refused = 0;
  for (std::size_t n = 0; n != good.size(); ++n) {
    for (char const c : {'\0', '9', '"', '}', '\xff'}) {
      std::string changed = good;
      changed[n] = c;
      ++(verdict(s, changed).starts_with("accepted") ? accepted : refused);
    }
  }
  CHECK(accepted + refused == 5 * good.size());
  // Only a change inside a name or the data (11 bytes, 5 values each) can be harmless.
  CHECK(accepted >= 55);
  CHECK(refused > accepted);
}
