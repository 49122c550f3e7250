// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/io/half.hpp>
#include <buddy/io/safetensors.hpp>
#include <buddy/io/safetensors_writer.hpp>
#include <buddy/io/tensor_values.hpp>
#include <buddy/io/write_file.hpp>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace {

namespace io = buddy::io;
using bytes_of_file = std::vector<std::byte>;

/// A folder that is gone when the test is over.
struct folder {
  folder() {
    std::string name = (std::filesystem::temp_directory_path() / "buddy-io-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  folder(folder const&) = delete;
  folder& operator=(folder const&) = delete;
  ~folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

bytes_of_file content(std::filesystem::path const& file) {
  io::mapped_file const map{file};
  return {map.bytes().begin(), map.bytes().end()};
}

/// Every positive half in ascending order, as the standard defines it: mantissa * 2^(exponent - 25), from 0x0000.
double half_value(std::uint16_t h) {
  int const exponent = (h >> 10) & 31;
  int const mantissa = h & 1023;
  return exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
}

}  // namespace

TEST_CASE("every half converts to the number the standard says and back to itself", "[unit][io]") {
  bool all = true;
  for (std::uint32_t h = 0; h != 0x7c00; ++h) {
    auto const bits = static_cast<std::uint16_t>(h);
    auto const negative = static_cast<std::uint16_t>(h | 0x8000U);
    all = all && static_cast<double>(io::f16_to_f32(bits)) == half_value(bits) &&
          io::f32_to_f16(io::f16_to_f32(bits)) == bits;
    all = all && static_cast<double>(io::f16_to_f32(negative)) == -half_value(bits);
    all = all && io::f32_to_f16(io::f16_to_f32(negative)) == negative;
  }
  CHECK(all);
  CHECK(std::signbit(io::f16_to_f32(0x8000)));
  CHECK(io::f16_to_f32(0x7c00) == std::numeric_limits<float>::infinity());
  CHECK(io::f32_to_f16(-std::numeric_limits<float>::infinity()) == 0xfc00);
  for (std::uint16_t const nan : std::vector<std::uint16_t>{0x7c01, 0x7e00, 0xffff}) {
    CHECK(std::isnan(io::f16_to_f32(nan)));
    CHECK(std::isnan(io::f16_to_f32(io::f32_to_f16(io::f16_to_f32(nan)))));
  }
}

TEST_CASE("a float between two halves goes to the nearer one, a tie to the even one", "[unit][io]") {
  bool all = true;
  for (std::uint32_t h = 0; h != 0x7bff; ++h) {
    auto const low = static_cast<std::uint16_t>(h);
    auto const high = static_cast<std::uint16_t>(h + 1);
    auto const middle = static_cast<float>((half_value(low) + half_value(high)) / 2);  // exact: 12 bits
    all = all && io::f32_to_f16(middle) == (h % 2 == 0 ? low : high);
    all = all && io::f32_to_f16(std::nextafter(middle, 0.0F)) == low;
    all = all && io::f32_to_f16(std::nextafter(middle, 1e9F)) == high;
  }
  CHECK(all);
  CHECK(io::f32_to_f16(65519.996F) == 0x7bff);  // largest half 65504; the next would be 65536
  CHECK(io::f32_to_f16(65520.0F) == 0x7c00);
  CHECK(io::f32_to_f16(1e-45F) == 0);
}

TEST_CASE("bfloat16 is the upper half of a float, rounded to the nearest, ties to even", "[unit][io]") {
  CHECK(io::bf16_to_f32(0x3f80) == 1.0F);
  CHECK(io::bf16_to_f32(0x0001) == std::ldexp(1.0F, -133));  // subnormal: 2^-149 * 2^16
  CHECK(io::f32_to_bf16(1.0F + 0x1p-8F) == 0x3f80);          // halfway between 1 and 1 + 2^-7: even below
  CHECK(io::f32_to_bf16(1.0F + 0x3p-8F) == 0x3f82);          // halfway between 1 + 2^-7 and 1 + 2^-6: even above
  CHECK(io::f32_to_bf16(1.0F + 0x1.01p-8F) == 0x3f81);
  CHECK(io::f32_to_bf16(std::numeric_limits<float>::max()) == 0x7f80);
  CHECK(std::isnan(io::bf16_to_f32(io::f32_to_bf16(std::bit_cast<float>(0x7f80'0001U)))));
  bool all = true;
  for (std::uint32_t b = 0; b != 0x7f81; ++b)
    all = all && io::f32_to_bf16(io::bf16_to_f32(static_cast<std::uint16_t>(b))) == b;
  CHECK(all);
}

TEST_CASE("tensors come back as they were written", "[unit][io]") {
  folder const f;
  auto const file = f.path / "a.safetensors";
  std::vector<float> const floats{1.0F, -2.5F, 3.0F, 0.0F, 1e-40F, 6.0F};
  std::vector<std::uint8_t> const small{1, 2, 3};
  std::vector<std::int64_t> const scalar{-7};
  io::safetensors_writer w;
  w.set("format", "test \"quoted\" \xc3\xa9");
  w.add<std::uint8_t>("odd", {3}, small);
  w.add<float>("floats", {2, 3}, floats);
  w.add<std::int64_t>("scalar", {}, scalar);
  w.add<float>("empty", {4, 0}, {});
  w.write(file);

  auto const opened = io::safetensors_file::open(file);
  CHECK(opened.names() == std::vector<std::string>{"empty", "floats", "odd", "scalar"});
  CHECK(opened.metadata_at("format") == "test \"quoted\" \xc3\xa9");
  CHECK(io::values<float>(opened.at("floats", io::dtype::f32, {2, 3})) == floats);
  CHECK(io::values<std::uint8_t>(opened.at("odd", io::dtype::u8, {3})) == small);
  CHECK(io::values<std::int64_t>(opened.at("scalar", io::dtype::i64, {})) == scalar);
  CHECK(opened.at("empty").bytes.empty());
  CHECK(opened.find("nothing") == nullptr);
}

TEST_CASE("an open file may be moved and its tensors stay where they are", "[unit][io]") {
  static_assert(!std::is_copy_constructible_v<io::safetensors_file>);
  folder const f;
  io::safetensors_writer w;
  std::vector<std::uint8_t> const data{9, 8};
  w.add<std::uint8_t>("t", {2}, data);
  w.write(f.path / "a");
  auto first = io::safetensors_file::open(f.path / "a");
  auto const where = first.at("t").bytes.data();
  auto const second = std::move(first);
  CHECK(second.at("t").bytes.data() == where);
  CHECK(io::values<std::uint8_t>(second.at("t")) == data);
}

TEST_CASE("the same tensors give the same bytes in any order of adding", "[unit][io]") {
  folder const f;
  std::vector<std::uint8_t> const a{1, 2, 3};
  std::vector<std::uint16_t> const b{4, 5};
  io::safetensors_writer one, two;
  one.set("x", "1");
  one.set("y", "2");
  one.add<std::uint8_t>("a", {3}, a);
  one.add<std::uint16_t>("b", {2}, b);
  two.add<std::uint16_t>("b", {2}, b);
  two.add<std::uint8_t>("a", {3}, a);
  two.set("y", "2");
  two.set("x", "1");
  one.write(f.path / "one");
  two.write(f.path / "two");
  auto const bytes = content(f.path / "one");
  CHECK(bytes == content(f.path / "two"));
  // 8 bytes of length, a header padded to a multiple of 8, then b (wider elements first): 4 0 5 0, then a: 1 2 3.
  CHECK((bytes.size() - 7) % 8 == 0);
  CHECK(bytes[bytes.size() - 7] == std::byte{4});
  CHECK(bytes[bytes.size() - 3] == std::byte{1});
}

TEST_CASE("floats of any stored width are widened exactly", "[unit][io]") {
  std::vector<std::uint16_t> const halves{0x3c00, 0x0001, 0xc000};  // 1, 2^-24, -2
  std::vector<std::uint16_t> const brain{0x3f80, 0xc000, 0x0000};   // 1, -2, 0
  io::tensor_view const f16{"h", io::dtype::f16, {3}, std::as_bytes(std::span{halves})};
  io::tensor_view const bf16{"b", io::dtype::bf16, {3}, std::as_bytes(std::span{brain})};
  CHECK(io::widened(f16) == std::vector<float>{1.0F, 0x1p-24F, -2.0F});
  CHECK(io::widened(bf16) == std::vector<float>{1.0F, -2.0F, 0.0F});
}

TEST_CASE("tensors at odd addresses are read", "[unit][io]") {
  std::vector<std::byte> storage(9);
  float const value = 1.5F;
  std::memcpy(storage.data() + 1, &value, 4);
  std::memcpy(storage.data() + 5, &value, 4);
  io::tensor_view const t{"t", io::dtype::f32, {2}, std::span<std::byte const>{storage}.subspan(1)};
  CHECK(io::widened(t) == std::vector<float>{1.5F, 1.5F});
  CHECK(io::values<float>(t) == std::vector<float>{1.5F, 1.5F});
}

TEST_CASE("a tensor asked for as another is refused, naming file, tensor and rule", "[unit][io]") {
  folder const f;
  io::safetensors_writer w;
  std::vector<std::uint8_t> const data{9, 8};
  w.add<std::uint8_t>("t", {2}, data);
  w.write(f.path / "file.safetensors");
  auto const opened = io::safetensors_file::open(f.path / "file.safetensors");
  auto const said = [](auto&& call) -> std::string {
    try {
      call();
    } catch (buddy::config_error const& e) {
      return e.what();
    }
    return "accepted";
  };
  std::string const prefix = (f.path / "file.safetensors").string() + ": ";
  CHECK(said([&] { static_cast<void>(opened.at("u")); }) == prefix + "tensor 'u': is missing");
  CHECK(said([&] { static_cast<void>(opened.at("t", io::dtype::u8, {1, 2})); }) ==
        prefix + "tensor 't': shape must be [1, 2], not [2]");
  CHECK(said([&] { static_cast<void>(opened.at("t", io::dtype::i8, {2})); }) ==
        prefix + "tensor 't': dtype must be I8, not U8");
  CHECK(said([&] { static_cast<void>(opened.metadata_at("k")); }) == prefix + "metadata 'k' is missing");
}

TEST_CASE("the writer refuses what cannot be read back", "[unit][io]") {
  folder const f;
  std::vector<std::uint8_t> const data{1, 2, 3};
  io::safetensors_writer w;
  w.add<std::uint8_t>("t", {3}, data);
  CHECK_THROWS_AS(w.add<std::uint8_t>("t", {3}, data), buddy::config_error);
  CHECK_THROWS_AS(w.add<std::uint8_t>("u", {4}, data), buddy::config_error);
  CHECK_THROWS_AS(w.add<std::uint8_t>("u", {1ULL << 63, 2}, {}), buddy::config_error);  // 2^64 = 0 is no way around
  CHECK_THROWS_AS(w.add<std::uint8_t>("__metadata__", {3}, data), buddy::config_error);
  w.set("key", "\xff");
  CHECK_THROWS_AS(w.write(f.path / "a"), buddy::config_error);
  CHECK(std::filesystem::is_empty(f.path));
}

TEST_CASE("a file that cannot be written leaves the old one and no temporary", "[unit][io]") {
  folder const f;
  io::write_file(f.path / "a", "old");
  {
    io::pending_file unfinished{f.path / "a"};
    unfinished.append(std::as_bytes(std::span{"half", 4}));
  }
  CHECK(content(f.path / "a").size() == 3);
  CHECK(std::distance(std::filesystem::directory_iterator{f.path}, {}) == 1);
  CHECK_THROWS_AS(io::write_file(f.path / "missing" / "a", "new"), buddy::config_error);
  std::filesystem::create_directories(f.path / "taken" / "inside");
  CHECK_THROWS_AS(io::write_file(f.path / "taken", "new"), buddy::config_error);  // a folder is not replaced
  CHECK(std::distance(std::filesystem::directory_iterator{f.path}, {}) == 2);
}

TEST_CASE("only regular files are mapped", "[unit][io]") {
  folder const f;
  CHECK_THROWS_AS(io::mapped_file{f.path}, buddy::config_error);
  CHECK_THROWS_AS(io::mapped_file{f.path / "nothing"}, buddy::config_error);
  io::write_file(f.path / "empty", "");
  CHECK(io::mapped_file{f.path / "empty"}.bytes().empty());
}
