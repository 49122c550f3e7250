// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cache_budget.hpp>
#include <buddy/error.hpp>
#include <buddy/slot_pool.hpp>

#include <cstdint>
#include <limits>
#include <vector>

namespace {

constexpr buddy::model_shape shape{.n_layers = 3, .n_experts = 100, .top_k = 6, .expert_bytes = 10};

}  // namespace

TEST_CASE("cache_budget from a ratio is that share of every layer, rounded down", "[unit][cache_budget]") {
  CHECK(buddy::cache_budget::from_ratio(shape, 0.375).bytes == 37 * 3 * 10);  // floor(37.5) records a layer
  CHECK(buddy::cache_budget::from_ratio(shape, 1.0).bytes == 100 * 3 * 10);
  CHECK(buddy::cache_budget::from_ratio(shape, 0.01).bytes == 1 * 3 * 10);
}

TEST_CASE("cache_budget from a ratio does not lose a slot to its binary form", "[unit][cache_budget]") {
  for (std::uint64_t percent = 1; percent != 101; ++percent)
    CHECK(buddy::cache_budget::from_ratio(shape, static_cast<double>(percent) / 100.0).bytes == percent * 3 * 10);
}

TEST_CASE("cache_budget refuses a ratio that is no share or leaves no slot", "[unit][cache_budget]") {
  double const bad = GENERATE(0.0, -0.5, 1.0001, 0.009, std::numeric_limits<double>::quiet_NaN());
  CHECK_THROWS_AS(buddy::cache_budget::from_ratio(shape, bad), buddy::config_error);
}

TEST_CASE("a budget pays for what is always resident", "[unit][cache_budget]") {
  auto const budget = buddy::cache_budget::from_ratio(shape, 0.5, buddy::pool_layout::global);
  auto const left = budget.less(3 * 100 * 2);  // 1500 bytes less a copy of 2 bytes of each of 300 experts
  CHECK(left.bytes == 900);
  CHECK(left.layout == buddy::pool_layout::global);
  CHECK_THROWS_AS(budget.less(1500), buddy::config_error);
  CHECK_THROWS_AS(budget.less(std::numeric_limits<std::uint64_t>::max()), buddy::config_error);
}

TEST_CASE("record sizes are the shape's unless the budget names them", "[unit][cache_budget]") {
  CHECK(buddy::detail::record_sizes(shape, {}) == std::vector<std::uint64_t>{10, 10, 10});
  CHECK(buddy::detail::record_sizes(shape, {.layer_bytes = {1, 2, 3}}) == std::vector<std::uint64_t>{1, 2, 3});
  CHECK_THROWS_AS(buddy::detail::record_sizes(shape, {.layer_bytes = {1, 2}}), buddy::config_error);
  CHECK_THROWS_AS(buddy::detail::record_sizes(shape, {.layer_bytes = {1, 0, 3}}), buddy::config_error);
}

TEST_CASE("pools of one layer each hold as many records as all the others", "[unit][cache_budget]") {
  // 10 + 20 + 30 = 60 bytes for one record of each layer; 150 bytes hold two of each.
  auto const plans = buddy::detail::plan_pools({10, 20, 30}, {.bytes = 150}, 100);
  REQUIRE(plans.size() == 3);
  for (std::uint32_t l = 0; l != 3; ++l) {
    CHECK(plans[l].first == 2 * l);
    CHECK(plans[l].capacity == 2);
    CHECK(plans[l].byte_budget == 2 * 10 * (l + 1));
  }
  CHECK_THROWS_AS(buddy::detail::plan_pools({10, 20, 30}, {.bytes = 59}, 100), buddy::config_error);
}

TEST_CASE("a global pool has a slot for each of the smallest records", "[unit][cache_budget]") {
  auto const global = buddy::pool_layout::global;
  auto const plans = buddy::detail::plan_pools({10, 20, 30}, {.bytes = 155, .layout = global}, 100);
  REQUIRE(plans.size() == 1);
  CHECK(plans[0].capacity == 15);  // floor(155 / 10)
  CHECK(plans[0].byte_budget == 155);
  CHECK_THROWS_AS(buddy::detail::plan_pools({10, 20, 30}, {.bytes = 29, .layout = global}, 100), buddy::config_error);
}

TEST_CASE("no pool has more slots than there are experts", "[unit][cache_budget]") {
  CHECK(buddy::detail::plan_pools({10, 10}, {.bytes = 1'000'000}, 8)[1].capacity == 8);
  CHECK(
      buddy::detail::plan_pools({10, 10}, {.bytes = 1'000'000, .layout = buddy::pool_layout::global}, 8)[0].capacity ==
      16);  // 8 experts x 2 layers
}

TEST_CASE("a budget that 64 bits do not hold is refused", "[unit][cache_budget]") {
  std::uint64_t const half = std::uint64_t{1} << 63;  // two of them are 2^64, which wraps to 0
  CHECK_THROWS_AS(buddy::detail::plan_pools({half, half}, {.bytes = half}, 8), buddy::config_error);
  std::uint64_t const most = std::numeric_limits<std::uint64_t>::max();
  CHECK_THROWS_AS(buddy::detail::plan_pools({half, half}, {.bytes = most}, 8), buddy::config_error);
  CHECK(buddy::detail::plan_pools({half, half - 1}, {.bytes = most}, 8)[0].capacity == 1);  // 2^64 - 1 is one of each

  auto large = shape;
  large.expert_bytes = std::uint64_t{1} << 60;  // 50 x 3 x 2^60 is more than 2^64 = 16 x 2^60
  CHECK_THROWS_AS(buddy::cache_budget::from_ratio(large, 0.5), buddy::config_error);
  CHECK(buddy::cache_budget::from_ratio(large, 0.05).bytes == 15 * large.expert_bytes);  // 5 x 3
  large.n_layers = 0;
  CHECK_THROWS_AS(buddy::cache_budget::from_ratio(large, 0.5), buddy::config_error);
}

TEST_CASE("pools take the sizes that the budget names", "[unit][cache_budget]") {
  // 4 x 10 + 1 x 20 + 2 x 30 = 120 bytes.
  std::vector<std::uint64_t> const sizes{10, 20, 30};
  auto const plans = buddy::detail::plan_pools(sizes, {.bytes = 120, .layer_slots = {4, 1, 2}}, 100);
  REQUIRE(plans.size() == 3);
  CHECK(plans[0].first == 0);
  CHECK(plans[1].first == 4);
  CHECK(plans[2].first == 5);
  CHECK(plans[0].capacity == 4);
  CHECK(plans[1].capacity == 1);
  CHECK(plans[2].capacity == 2);
  CHECK(plans[2].byte_budget == 60);

  auto const refused = [&](std::uint64_t bytes, std::vector<std::uint32_t> const& slots, std::uint32_t n_experts,
                           buddy::pool_layout layout = buddy::pool_layout::per_layer) {
    CHECK_THROWS_AS(
        buddy::detail::plan_pools(sizes, {.bytes = bytes, .layout = layout, .layer_slots = slots}, n_experts),
        buddy::config_error);
  };
  refused(119, {4, 1, 2}, 100);  // one byte short
  refused(120, {4, 1, 2}, 3);    // a layer has 3 experts
  refused(120, {4, 0, 2}, 100);
  refused(120, {4, 1}, 100);
  refused(120, {4, 1, 2}, 100, buddy::pool_layout::global);
}
