// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "reference_ffn.hpp"

#include <buddy/host/aligned_bytes.hpp>
#include <buddy/host/row_kernel.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

using buddy::weight_type;
using namespace buddy::host;

TEST_CASE("a packed vector has a place of its own for every element", "[unit][host_lane]") {
  for (auto const p : {packing::f32, packing::f32_pairs_16, packing::f32_pairs_32, packing::bf16}) {
    std::vector<int> used(packed_bytes(96) / sizeof(float), 0);
    for (std::size_t i = 0; i != 96; ++i) ++used[packed_position(p, i)];
    CHECK(used == std::vector<int>(96, 1));
  }
}

TEST_CASE("pairs put the even elements of a block first", "[unit][host_lane]") {
  // Block of 16: 0 2 4 ... 14, 1 3 5 ... 15. Element 21 is the odd element 5 of the second block: 16 + 8 + 2.
  CHECK(packed_position(packing::f32_pairs_16, 14) == 7);
  CHECK(packed_position(packing::f32_pairs_16, 1) == 8);
  CHECK(packed_position(packing::f32_pairs_16, 21) == 26);
  // Block of 32: element 31 is the last, element 33 the first odd one of the second block: 32 + 16.
  CHECK(packed_position(packing::f32_pairs_32, 31) == 31);
  CHECK(packed_position(packing::f32_pairs_32, 33) == 48);
}

TEST_CASE("the scalar set is always there, and the best one is supported", "[unit][host_lane]") {
  CHECK(supported(instruction_set::scalar));
  CHECK(supported(best_instruction_set()));
}

TEST_CASE("every row kernel of this CPU multiplies rows of any length", "[unit][host_lane]") {
  reference::numbers random{20250731};
  constexpr std::uint32_t n_rows = 3;
  for (auto const type : {weight_type::bf16, weight_type::f16}) {
    for (auto const set : all_instruction_sets) {
      if (!supported(set)) continue;
      auto const kernel = row_kernel_of(set, type);
      for (std::uint32_t n = 1; n <= 200; n += n < 70 ? 1 : 13) {
        INFO(to_string(set) << ", " << (type == weight_type::bf16 ? "bf16" : "f16") << ", length " << n);
        auto const rows =
            reference::random_bits(std::size_t{n_rows} * n, type, 1.0F, random);  // no byte behind the last
        auto const x = reference::random_bits(n, type, 1.0F, random);
        aligned_bytes const packed(packed_bytes(n));
        pack(kernel.form, type, x.data(), n, packed.get());
        std::vector<float> out(n_rows, std::nanf(""));
        kernel.dots(rows.data(), n_rows, n, packed.get(), out.data());
        for (std::uint32_t r = 0; r != n_rows; ++r) {
          double expected = 0.0;
          double magnitude = 0.0;
          for (std::uint32_t i = 0; i != n; ++i) {
            double const term = reference::value_of(type, rows[r * n + i]) * reference::value_of(type, x[i]);
            expected += term;
            magnitude += std::abs(term);
          }
          CHECK(std::abs(static_cast<double>(out[r]) - expected) <= 1e-5 * magnitude);  // n <= 200 roundings of 6e-8
        }
      }
    }
  }
}
