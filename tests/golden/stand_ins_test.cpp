// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/stand_ins/low_bit.hpp>
#include <buddy/stand_ins/low_rank.hpp>
#include <buddy/stand_ins/mean_output.hpp>
#include <buddy/stand_ins/packed_writer.hpp>
#include <buddy/stand_ins/scaled_buddy.hpp>
#include <buddy/stand_ins/truncated.hpp>
#include <buddy/stand_ins/zero.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using namespace buddy::stand_ins;

constexpr packed_format halves{};

/// Behind what is already there.
void append(std::vector<std::uint8_t>& record, packed_format const& f, std::vector<float> const& x) {
  std::vector<std::uint8_t> bytes(f.bytes(x.size()));
  pack_nearest(f, x.data(), x.size(), bytes.data());
  record.insert(record.end(), bytes.begin(), bytes.end());
}

std::vector<float> output(auto const& s, float weight, std::vector<float> const& x) {
  std::vector<float> y(x.size(), 1.0F);
  s.add(weight, x.data(), y.data());
  return y;
}

}  // namespace

TEST_CASE("zero leaves the sum as it is and costs nothing", "[golden][stand_ins]") {
  CHECK(output(zero{}, 0.5F, {3.0F, 4.0F}) == std::vector<float>{1.0F, 1.0F});
  CHECK(zero::bytes() == 0);
}

TEST_CASE("mean_output adds the weighted mean whatever the token", "[golden][stand_ins]") {
  std::vector<std::uint8_t> record;
  append(record, halves, {2.0F, -4.0F});
  mean_output const mean{{2, 8}, record.data()};
  CHECK(output(mean, 0.5F, {9.0F, 9.0F}) == std::vector<float>{2.0F, -1.0F});
  CHECK(mean.bytes() == 4);
}

TEST_CASE("low_rank adds a constant and each dimension that it reads", "[golden][stand_ins]") {
  std::vector<std::uint8_t> record;
  append(record, halves, {1.0F, 0.0F});              // constant
  append(record, halves, {1.0F, 1.0F, 0.0F, 2.0F});  // reads
  append(record, halves, {1.0F, 0.0F, 3.0F, 1.0F});  // adds
  low_rank const map{{2, 16}, {2, 8}, record.data()};
  CHECK(map.bytes() == record.size());
  // x = (1, 2): reads 3 and 4; constant + 3 (1, 0) + 4 (3, 1) = (16, 4); halved, on top of 1.
  CHECK(output(map, 0.5F, {1.0F, 2.0F}) == std::vector<float>{9.0F, 3.0F});
}

TEST_CASE("low_rank with int8 factors costs one scale and minimum a row", "[golden][stand_ins]") {
  // Constant 2 x 100; twice 3 rows of 100 codes and 4 bytes.
  CHECK(low_rank_format{3, 8}.bytes({100, 8}) == 200 + 2 * 3 * 104);
}

TEST_CASE("truncated computes the units it kept, and a constant for the rest", "[golden][stand_ins]") {
  std::vector<std::uint8_t> record;
  append(record, halves, {0.25F, 0.0F});  // constant
  append(record, halves, {1.0F, 0.0F});   // gate
  append(record, halves, {0.0F, 2.0F});   // up
  append(record, halves, {4.0F, -4.0F});  // down
  truncated const one{truncated::format(1, halves), {2, 8}, record.data()};
  CHECK(one.bytes() == record.size());
  // x = (0, 5): the gate is 0, and so is silu(0): only the constant.
  CHECK(output(one, 1.0F, {0.0F, 5.0F}) == std::vector<float>{1.25F, 1.0F});
  // x = (1, 0.5): silu(1) = 1 / (1 + e^-1) = 0.731059, up = 1: (0.25 + 2.924234, -2.924234) on top of 1.
  auto const y = output(one, 1.0F, {1.0F, 0.5F});
  CHECK(std::fabs(y[0] - 4.174234F) < 1e-5F);
  CHECK(std::fabs(y[1] + 1.924234F) < 1e-5F);
}

TEST_CASE("low_bit costs all units at its bits and has no constant unless it asks for one", "[golden][stand_ins]") {
  // 128 x 32 = 4096 values in groups of 128: 2 bits are 1024 + 32 x 4 = 1152 bytes, 3 bits 1536 + 128 = 1664.
  constexpr expert_size e{128, 32};
  CHECK(low_bit::format(e, {2, 128}, {2, 128}).bytes(e) == 3 * 1152);
  CHECK(low_bit::format(e, {2, 128}, {3, 128}).bytes(e) == 2 * 1152 + 1664);
  CHECK(low_bit::format(e, {2, 128}, {2, 128}, true).bytes(e) == 3 * 1152 + 256);
  CHECK(low_bit::how == buddy::resolution::low_precision);
}

TEST_CASE("scaled_buddy brings another expert to the missing one's weight, or to its own", "[golden][stand_ins]") {
  auto const twice = [](float weight, float const* x, float* y) noexcept {
    for (int i = 0; i != 2; ++i) y[i] += weight * 2.0F * x[i];
  };
  // 1 + 0.5 x 1/4 x 2 x = 1 + x / 4; at its own weight, three times as much of it.
  CHECK(output(scaled_buddy{twice, buddy::q16_one / 4}, 0.5F, {4.0F, 8.0F}) == std::vector<float>{2.0F, 3.0F});
  CHECK(output(scaled_buddy{twice, buddy::q16_one / 4, buddy_weight::own, 3.0F}, 0.5F, {4.0F, 8.0F}) ==
        std::vector<float>{4.0F, 7.0F});
}
