// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/emulated_warp.hpp>
#include <buddy/cuda/token_groups.hpp>
#include <buddy/testing/dice.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

using buddy::no_slot;
using buddy::slot_id;

namespace {

std::vector<std::uint16_t> group(std::vector<slot_id> const& slots, std::vector<float> const& weights,
                                 std::uint32_t leader) {
  auto const n = static_cast<std::uint32_t>(slots.size());
  std::vector<std::uint16_t> members(n);
  members.resize(
      buddy::cuda::gather_group(buddy::cuda::emulated_warp{}, slots.data(), weights.data(), n, leader, members.data()));
  return members;
}

/// The specification: one loop.
std::vector<std::uint16_t> serial(std::vector<slot_id> const& slots, std::vector<float> const& weights,
                                  std::uint32_t leader) {
  std::vector<std::uint16_t> members;
  if (slots[leader] == no_slot || weights[leader] == 0.0F) return members;
  for (std::uint16_t i = 0; i != slots.size(); ++i)
    if (slots[i] == slots[leader] && weights[i] != 0.0F) members.push_back(i);
  return members[0] == leader ? members : std::vector<std::uint16_t>{};
}

}  // namespace

TEST_CASE("the first routed slot of an expert gathers all that use it", "[unit][dispatch]") {
  // Two tokens of three: slot 7 is used by both, at 0 and 5.
  std::vector<slot_id> const slots{slot_id{7}, slot_id{2}, no_slot, slot_id{9}, slot_id{9}, slot_id{7}};
  std::vector<float> const weights{.5F, .25F, .25F, 0.0F, .5F, .5F};
  CHECK(group(slots, weights, 0) == std::vector<std::uint16_t>{0, 5});
  CHECK(group(slots, weights, 1) == std::vector<std::uint16_t>{1});
  CHECK(group(slots, weights, 2).empty());                           // no place
  CHECK(group(slots, weights, 3).empty());                           // dropped
  CHECK(group(slots, weights, 4) == std::vector<std::uint16_t>{4});  // so this is the first of slot 9
  CHECK(group(slots, weights, 5).empty());                           // not the first
}

TEST_CASE("a weight that is not a number still counts", "[unit][dispatch]") {
  CHECK(group({slot_id{1}}, {std::nanf("")}, 0) == std::vector<std::uint16_t>{0});
}

TEST_CASE("the warp's groups are the serial ones, and hold each routed slot once", "[unit][dispatch]") {
  buddy::testing::dice random(417);
  for (int round = 0; round != 300; ++round) {
    auto const n = 1 + random.roll(200);
    std::vector<slot_id> slots(n);
    std::vector<float> weights(n);
    std::uint32_t contributing = 0;
    for (std::uint32_t i = 0; i != n; ++i) {
      slots[i] = random.chance(8) ? no_slot : slot_id{random.roll(1 + n / 2)};
      weights[i] = random.chance(8) ? 0.0F : 0.5F;
      contributing += buddy::cuda::contributes(slots[i], weights[i]) ? 1 : 0;
    }
    std::uint32_t gathered = 0;
    for (std::uint32_t i = 0; i != n; ++i) {
      auto const members = group(slots, weights, i);
      CHECK(members == serial(slots, weights, i));
      gathered += static_cast<std::uint32_t>(members.size());
    }
    CHECK(gathered == contributing);
  }
}
