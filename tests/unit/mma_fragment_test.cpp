// SPDX-License-Identifier: Apache-2.0
// The index maps of the tensor-core kernels against the instruction as its documentation draws it.
#include "catch.hpp"

#include <buddy/cuda/mma_fragment.hpp>
#include <buddy/testing/dice.hpp>

#include <array>
#include <cstdint>
#include <vector>

namespace fragment = buddy::cuda::fragment;
using buddy::cuda::chunk;

namespace {

/// Registers of the 32 lanes: 4 and 2 words with two elements each, and 4 sums.
struct registers {
  std::uint32_t a[32][4];
  std::uint32_t b[32][2];
  std::int64_t c[32][4];
};

std::int64_t element(std::uint32_t word, std::uint32_t half) { return static_cast<std::int16_t>(word >> (16 * half)); }

/// mma.sync.m16n8k16 on integers. The PTX ISA's figures, element i of a lane:
///   A: row  lane / 4 (+ 8 for i = 2, 3, 6, 7),  column lane % 4 * 2 + i % 2 (+ 8 for i >= 4)
///   B: row  lane % 4 * 2 + i % 2 (+ 8 for i >= 2),  column lane / 4
///   C: row  lane / 4 (+ 8 for i >= 2),  column lane % 4 * 2 + i % 2
void emulated_mma(registers& r) {
  std::int64_t a[16][16] = {};
  std::int64_t b[16][8] = {};
  for (std::uint32_t lane = 0; lane != 32; ++lane) {
    for (std::uint32_t i = 0; i != 8; ++i)
      a[lane / 4 + (i % 4 >= 2 ? 8 : 0)][lane % 4 * 2 + i % 2 + (i >= 4 ? 8 : 0)] = element(r.a[lane][i / 2], i % 2);
    for (std::uint32_t i = 0; i != 4; ++i)
      b[lane % 4 * 2 + i % 2 + (i >= 2 ? 8 : 0)][lane / 4] = element(r.b[lane][i / 2], i % 2);
  }
  for (std::uint32_t lane = 0; lane != 32; ++lane)
    for (std::uint32_t i = 0; i != 4; ++i)
      for (std::uint32_t k = 0; k != 16; ++k)
        r.c[lane][i] += a[lane / 4 + (i >= 2 ? 8 : 0)][k] * b[k][lane % 4 * 2 + i % 2];
}

/// A row-major matrix of small integers whose products tell the elements apart.
std::vector<std::int16_t> random_matrix(std::size_t n, buddy::testing::dice& random) {
  std::vector<std::int16_t> m(n);
  for (auto& x : m) x = static_cast<std::int16_t>(static_cast<int>(random.roll(2001)) - 1000);
  return m;
}

/// Eight elements from column `k` of row `row` on; zeros outside of the matrix.
chunk load(std::vector<std::int16_t> const& m, std::uint32_t n_rows, std::uint32_t n_columns, std::uint32_t row,
           std::uint32_t k) {
  chunk c;
  if (row >= n_rows || k >= n_columns) return c;
  for (std::uint32_t i = 0; i != 8; ++i)
    c.words[i / 2] |= std::uint32_t{static_cast<std::uint16_t>(m[row * n_columns + k + i])} << (16 * (i % 2));
  return c;
}

}  // namespace

TEST_CASE("two products a step multiply rows with tokens, whatever their number and length", "[unit][dispatch]") {
  buddy::testing::dice random(1608);
  for (std::uint32_t const n_columns : {8U, 24U, 32U, 40U, 64U, 104U}) {
    for (std::uint32_t const n_rows : {1U, 9U, 16U}) {
      for (std::uint32_t const n_tokens : {1U, 3U, 8U}) {
        auto const weights = random_matrix(n_rows * n_columns, random);
        auto const x = random_matrix(n_tokens * n_columns, random);
        registers r{};
        for (std::uint32_t k = 0; k < n_columns; k += fragment::step) {
          for (std::uint32_t j = 0; j != fragment::products; ++j) {
            for (std::uint32_t lane = 0; lane != 32; ++lane) {
              std::uint32_t const column = k + fragment::column_of(lane);
              auto const upper = load(weights, n_rows, n_columns, fragment::row_of(lane), column);
              auto const lower = load(weights, n_rows, n_columns, fragment::row_of(lane) + 8, column);
              auto const token = load(x, n_tokens, n_columns, fragment::row_of(lane), column);
              for (std::uint32_t i = 0; i != 4; ++i) r.a[lane][i] = fragment::weights_register(upper, lower, j, i);
              for (std::uint32_t i = 0; i != 2; ++i) r.b[lane][i] = fragment::tokens_register(token, j, i);
            }
            emulated_mma(r);
          }
        }
        std::uint32_t seen = 0;
        for (std::uint32_t lane = 0; lane != 32; ++lane) {
          for (std::uint32_t i = 0; i != 4; ++i) {
            std::uint32_t const row = fragment::sum_row(lane, i);
            std::uint32_t const t = fragment::sum_token(lane, i);
            std::int64_t expected = 0;
            for (std::uint32_t k = 0; k != n_columns && row < n_rows && t < n_tokens; ++k)
              expected += std::int64_t{weights[row * n_columns + k]} * x[t * n_columns + k];
            CHECK(r.c[lane][i] == expected);
            seen += row < n_rows && t < n_tokens ? 1 : 0;
          }
        }
        CHECK(seen == n_rows * n_tokens);
      }
    }
  }
}
