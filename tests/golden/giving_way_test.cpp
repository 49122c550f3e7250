// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/giving_way.hpp>

#include <cstdint>
#include <vector>

using buddy::copy_reason;
using buddy::expert_copy;

namespace {

expert_copy copy(std::uint16_t layer, std::uint16_t expert, copy_reason why) { return {{layer, expert}, {}, 1, why}; }

/// The plan of layer 2, with these copies; they outlive it.
buddy::layer_plan plan_of(std::vector<expert_copy> const& fetches, std::vector<expert_copy> const& waits) {
  buddy::layer_plan plan;
  plan.layer = 2;
  plan.fetches = {fetches.data(), static_cast<std::uint32_t>(fetches.size())};
  plan.waits = {waits.data(), static_cast<std::uint32_t>(waits.size())};
  return plan;
}

}  // namespace

TEST_CASE("a layer that waits for nothing stops only prefetches for itself", "[golden][giving_way]") {
  std::vector<expert_copy> const none;
  auto const plan = plan_of(none, none);
  CHECK(buddy::gives_way(copy(2, 7, copy_reason::prefetch), plan));  // too late
  CHECK_FALSE(buddy::gives_way(copy(3, 7, copy_reason::prefetch), plan));
  CHECK_FALSE(buddy::gives_way(copy(2, 7, copy_reason::refill), plan));  // for a later step
}

TEST_CASE("a layer that waits for the link stops all that it does not wait for", "[golden][giving_way]") {
  std::vector<expert_copy> const none;
  std::vector<expert_copy> const fetched{copy(2, 1, copy_reason::demand)};
  std::vector<expert_copy> const awaited{copy(2, 5, copy_reason::prefetch)};
  for (auto const& plan : {plan_of(fetched, awaited), plan_of(none, awaited)}) {
    CHECK(buddy::is_awaited({2, 5}, plan));
    CHECK_FALSE(buddy::is_awaited({3, 5}, plan));  // the same number in another layer
    CHECK_FALSE(buddy::gives_way(copy(2, 5, copy_reason::prefetch), plan));
    CHECK(buddy::gives_way(copy(3, 7, copy_reason::prefetch), plan));
    CHECK(buddy::gives_way(copy(1, 7, copy_reason::refill), plan));
  }
}
