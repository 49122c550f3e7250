// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/stand_ins/packed_values.hpp>
#include <buddy/stand_ins/packed_writer.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using buddy::stand_ins::packed_format;

std::vector<std::uint8_t> packed(packed_format const& f, std::vector<float> const& x) {
  std::vector<std::uint8_t> bytes(f.bytes(x.size()));
  buddy::stand_ins::pack_nearest(f, x.data(), x.size(), bytes.data());
  return bytes;
}

std::vector<float> stored(packed_format const& f, std::vector<float> const& x) {
  auto const bytes = packed(f, x);
  std::vector<float> y(x.size());
  buddy::stand_ins::packed_values{f, x.size(), bytes.data()}.decode(0, x.size(), y.data());
  return y;
}

}  // namespace

TEST_CASE("packed values cost their codes and the scales of their groups", "[golden][packed_values]") {
  // 100 values of 2 bits: 25 bytes. Groups of 32: four, with scale and minimum of 2 bytes each: 16.
  CHECK(packed_format{2, 32}.bytes(100) == 41);
  // One bit: 100 / 8, up to 13, and a scale for each of four groups: 8.
  CHECK(packed_format{1, 32}.bytes(100) == 21);
  // Three bits: 300 / 8, up to 38, one group: 4. Half precision: two bytes each.
  CHECK(packed_format{3, 128}.bytes(100) == 42);
  CHECK(packed_format{16, 128}.bytes(100) == 200);
}

TEST_CASE("two bits hold the four steps from a group's least to its largest value", "[golden][packed_values]") {
  // Group one: -1 to 2 in steps of 1. 0.4 goes to 0, 0.6 to 1. Group two: all alike, so that the minimum says it all.
  CHECK(stored({2, 4}, {-1.0F, 0.4F, 0.6F, 2.0F, 5.0F, 5.0F}) ==
        std::vector<float>{-1.0F, 0.0F, 1.0F, 2.0F, 5.0F, 5.0F});
  // Codes 0 1 2 3 | 0 0, the first in the lowest bits: 0 + 1 x 4 + 2 x 16 + 3 x 64 = 228.
  auto const bytes = packed({2, 4}, {-1.0F, 0.4F, 0.6F, 2.0F, 5.0F, 5.0F});
  REQUIRE(bytes.size() == 2 + 4 + 4);
  CHECK(bytes[0] == 228);
  CHECK(bytes[1] == 0);
}

TEST_CASE("one bit holds the sign, and the group's mean size", "[golden][packed_values]") {
  // (1 + 3 + 2 + 2) / 4 = 2.
  CHECK(stored({1, 4}, {1.0F, -3.0F, 2.0F, -2.0F}) == std::vector<float>{2.0F, -2.0F, 2.0F, -2.0F});
}

TEST_CASE("sixteen bits hold halves, and clip what no half can hold", "[golden][packed_values]") {
  CHECK(stored({16, 1}, {0.5F, -65504.0F, 1e6F}) == std::vector<float>{0.5F, -65504.0F, 65504.0F});
}

TEST_CASE("packed values are read from any place, across bytes and groups", "[golden][packed_values]") {
  packed_format const f{3, 5};
  std::vector<float> x;
  for (int i = 0; i != 23; ++i) x.push_back(static_cast<float>(i % 7) - 3.0F);
  auto const bytes = packed(f, x);
  auto const whole = stored(f, x);
  buddy::stand_ins::packed_values const values{f, x.size(), bytes.data()};
  for (std::size_t first = 0; first != x.size(); ++first) {
    std::vector<float> part(x.size() - first);
    values.decode(first, part.size(), part.data());
    CHECK(part == std::vector<float>(whole.begin() + static_cast<std::ptrdiff_t>(first), whole.end()));
  }
}

TEST_CASE("packed values multiply and add what they decode to", "[golden][packed_values]") {
  packed_format const f{2, 4};
  auto const bytes = packed(f, {-1.0F, 0.0F, 1.0F, 2.0F, 5.0F, 5.0F});
  buddy::stand_ins::packed_values const values{f, 6, bytes.data()};
  std::vector<float> const x{1.0F, 10.0F, 100.0F};
  // Values 2, 5, 5 from the third on: 2 x 1 + 5 x 10 + 5 x 100.
  CHECK(values.dot(3, 3, x.data()) == 552.0F);
  std::vector<float> y{1.0F, 1.0F, 1.0F};
  values.add(1, 3, 2.0F, y.data());  // 1 + 2 x (0, 1, 2)
  CHECK(y == std::vector<float>{1.0F, 3.0F, 5.0F});
}

TEST_CASE("packed formats that cannot be are refused", "[golden][packed_values]") {
  for (std::uint32_t const bits : {0U, 9U, 15U, 17U})
    CHECK_THROWS_AS(buddy::stand_ins::validate(packed_format{bits, 32}), buddy::config_error);
  CHECK_THROWS_AS(buddy::stand_ins::validate(packed_format{4, 0}), buddy::config_error);
  CHECK_NOTHROW(buddy::stand_ins::validate(packed_format{8, 1}));
}
