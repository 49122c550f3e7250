// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "fuzz/slot_cache_fuzz.hpp"

#include <buddy/splitmix64.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace {

std::string run(std::vector<std::uint8_t> const& input) {
  auto const* const difference = slot_cache_fuzz(input).difference();
  return difference == nullptr ? "" : difference;
}

}  // namespace

TEST_CASE("slot_cache does what the naive model does on inputs that once mattered", "[fuzz][slot_cache]") {
  // first byte: pool and budget; then (call, expert) pairs: 0 begin_batch, 1 reserve or commit, 6 lease or cancel
  CHECK(run({}) == "");
  CHECK(run({0, 1, 0, 1, 0, 1, 3}) == "");                                      // fetch 0:0, then 0:1 with no room
  CHECK(run({2, 1, 0, 6, 0, 1, 0}) == "");                                      // reserve, cancel, reserve again
  CHECK(run({3, 1, 0, 1, 0, 1, 3, 1, 3, 1, 1, 1, 1, 0, 0, 1, 4, 1, 4}) == "");  // small ones leave for a large one
  CHECK(run({2, 1, 0, 1, 0, 6, 0, 0, 0, 1, 3, 1, 6, 1, 9}) == "");              // a lease in the way
  CHECK(run({255, 8, 0, 8, 3, 8, 6, 8, 9, 0, 0, 1, 12}) == "");                 // warm until full
}

TEST_CASE("slot_cache does what the naive model does, call by call", "[fuzz][slot_cache]") {
  std::string difference;
  for (std::uint64_t seed = 1; seed != 401; ++seed) {
    std::vector<std::uint8_t> input(1 + 2 * 150);
    for (std::size_t i = 0; i != input.size(); ++i)
      input[i] = static_cast<std::uint8_t>(buddy::splitmix64(seed << 32 | i) >> 40);
    if (difference.empty() && !run(input).empty()) difference = run(input) + ", seed " + std::to_string(seed);
  }
  CHECK(difference == "");
}
