// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/policies/eviction/random.hpp>

#include <array>
#include <vector>

using buddy::slot_id;

namespace {

/// Fills 8 slots, then replaces the victim 8000 times.
std::vector<slot_id> victims(std::uint64_t seed) {
  buddy::eviction::random policy(8, seed);
  for (std::uint32_t i = 0; i != 8; ++i) policy.on_insert(slot_id{i}, {});
  std::vector<slot_id> out;
  for (int i = 0; i != 8000; ++i) {
    out.push_back(policy.victim([](slot_id) { return true; }));
    policy.on_erase(out.back());
    policy.on_insert(out.back(), {});
  }
  return out;
}

}  // namespace

TEST_CASE("random gives up every slot equally often", "[golden][random]") {
  // 8000 draws over 8 slots: 1000 each, standard deviation sqrt(8000 * 1/8 * 7/8) = 29.6; five of them are 148
  std::array<int, 8> counts{};
  for (slot_id const v : victims(1)) ++counts[static_cast<std::size_t>(v)];
  for (int const n : counts) {
    CHECK(n > 852);
    CHECK(n < 1148);
  }
}

TEST_CASE("random repeats itself with the same seed only", "[golden][random]") {
  CHECK(victims(1) == victims(1));
  CHECK(victims(1) != victims(2));
}

TEST_CASE("random takes the next slot when the first may not leave", "[golden][random]") {
  buddy::eviction::random policy(4);
  for (std::uint32_t i = 0; i != 4; ++i) policy.on_insert(slot_id{i}, {});
  auto const first = static_cast<std::uint32_t>(policy.victim([](slot_id) { return true; }));
  CHECK(policy.victim([&](slot_id s) { return s != slot_id{first}; }) == slot_id{(first + 1) % 4});
  policy.on_erase(slot_id{2});
  CHECK(policy.victim([](slot_id s) { return s == slot_id{2}; }) == buddy::no_slot);  // empty
}
