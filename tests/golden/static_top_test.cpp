// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/small_pool.hpp"

#include <buddy/error.hpp>
#include <buddy/policies/eviction/static_top.hpp>

#include <array>
#include <cstdint>

using buddy::expert_key;
using buddy::eviction::static_top;

namespace {

constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 2, .top_k = 1, .expert_bytes = 1};

buddy::view<std::uint64_t const> view_of(std::array<std::uint64_t, 4> const& counts, std::uint32_t size = 4) {
  return {counts.data(), size};
}

}  // namespace

TEST_CASE("static_top gives up the least popular, however it is used", "[golden][static_top]") {
  // Counts: a 7, b 2, c 5, d 2
  expert_key const a{0, 0}, b{0, 1}, c{1, 0}, d{1, 1};
  std::array<std::uint64_t, 4> counts{7, 2, 5, 2};
  small_pool pool(2, static_top(2, shape, view_of(counts)));
  counts = {};  // it has its own copy
  for (auto const k : {a, b, b, b}) pool.ask({}, {k});
  CHECK(pool.next() == b);  // where LRU gives up a
  pool.ask({}, {c});
  CHECK(pool.next() == c);
  // d for c; then b for d; a stays for good
  pool.ask({}, {d});
  CHECK(pool.next() == d);
  pool.ask({}, {b});
  CHECK(pool.holds(a));
}

TEST_CASE("static_top breaks ties by the lower layer and expert", "[golden][static_top]") {
  std::array<std::uint64_t, 4> const counts{7, 2, 5, 2};
  small_pool pool(2, static_top(2, shape, view_of(counts)));
  pool.ask({}, {expert_key{1, 1}});
  pool.ask({}, {expert_key{0, 1}});
  CHECK(pool.next() == expert_key{0, 1});
}

TEST_CASE("static_top refuses counts of another size", "[golden][static_top]") {
  std::array<std::uint64_t, 4> const counts{};
  CHECK_THROWS_AS(static_top(2, shape, view_of(counts, 3)), buddy::config_error);
  CHECK_THROWS_AS(static_top(2, {}, view_of(counts, 0)), buddy::config_error);
}
