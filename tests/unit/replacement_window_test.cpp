// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/replacement_window.hpp>
#include <buddy/splitmix64.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

TEST_CASE("replacement_window at ratio 1 has no limit", "[unit][replacement_window]") {
  buddy::replacement_window window(1.0, 4, 6);
  for (int i = 0; i != 10; ++i) {
    CHECK(window.left() == buddy::max_top_k);
    window.push(6);
  }
}

TEST_CASE("replacement_window at ratio 0 gives nothing", "[unit][replacement_window]") {
  buddy::replacement_window window(0.0, 4, 6);
  for (int i = 0; i != 10; ++i) {
    CHECK(window.left() == 0);
    window.push(0);
  }
}

TEST_CASE("replacement_window leaves what the last rows have not used", "[unit][replacement_window]") {
  buddy::replacement_window window(0.5, 2, 4);  // two rows of four slots: at most 4 of 8
  CHECK(window.left() == 2);                    // one row so far: floor(.5 * 4) = 2
  window.push(1);
  CHECK(window.left() == 3);  // two rows: floor(.5 * 8) = 4, less 1
  window.push(3);
  CHECK(window.left() == 1);  // the row of 1 leaves: 4 - 3
  window.push(0);
  CHECK(window.left() == 4);  // the row of 3 leaves, the row of 0 stays: 4 - 0
  window.push(4);
  CHECK(window.left() == 0);  // 4 - 4
  window.push(0);
  CHECK(window.left() == 4);
}

TEST_CASE("replacement_window of one row knows only the row in question", "[unit][replacement_window]") {
  buddy::replacement_window window(0.5, 1, 6);
  for (std::uint32_t const given : {3U, 0U, 3U, 1U}) {
    CHECK(window.left() == 3);  // floor(.5 * 6), whatever went before
    window.push(given);
  }
}

TEST_CASE("replacement_window does not lose a slot to the binary form of its ratio", "[unit][replacement_window]") {
  // None of the ratios is a binary fraction; times 10 each is whole, so floor must not fall to the number below.
  for (std::uint32_t tenths = 1; tenths != 10; ++tenths)
    CHECK(buddy::replacement_window(tenths / 10.0, 4, 10).left() == tenths);
}

TEST_CASE("replacement_window holds every window to its share", "[unit][replacement_window]") {
  constexpr std::uint32_t top_k = 6;
  constexpr std::size_t rows = 7;
  std::uint64_t const seed = GENERATE(range(1, 9));
  for (double const ratio : {0.25, 0.3, 0.9}) {
    buddy::replacement_window window(ratio, rows, top_k);
    std::vector<std::uint32_t> given;
    for (std::uint64_t i = 0; i != 60; ++i) {
      std::uint32_t const wanted = buddy::below(buddy::splitmix64(seed << 32 | i), top_k + 1);
      given.push_back(std::min(wanted, window.left()));
      window.push(given.back());
      std::size_t const used = std::min(given.size(), rows);
      std::uint32_t sum = 0;
      for (std::size_t r = given.size() - used; r != given.size(); ++r) sum += given[r];
      REQUIRE(sum <= ratio * static_cast<double>(used * top_k) + 1e-6);
    }
  }
}

TEST_CASE("replacement_window of the largest size does not wrap", "[unit][replacement_window]") {
  constexpr std::uint32_t rows = 1U << 20;
  buddy::replacement_window window(0.5, rows, buddy::max_top_k);
  for (std::uint32_t i = 0; i != rows; ++i) window.push(0);
  CHECK(window.left() == rows * buddy::max_top_k / 2);  // half of 2^25 slots, none of them used
}
