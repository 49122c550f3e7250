// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/profile_builder.hpp>
#include <buddy/token_entropy.hpp>

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

using ids = std::vector<std::uint16_t>;
using floats = std::vector<float>;

namespace {

template <class T>
buddy::view<T const> all(std::vector<T> const& v) {
  return {v.data(), static_cast<std::uint32_t>(v.size())};
}

void observe(buddy::profile_builder& builder, std::uint16_t layer, ids const& experts, floats const& weights = {},
             std::uint32_t n_tokens = 1) {
  builder.observe(layer, {all(experts), all(weights), {}, n_tokens});
}

/// Token a: {0,1} then {2,3}; token b: {1,2} then {3,0}; in another sequence token c: {0,1} then {1,0}.
buddy::profile three_tokens() {
  buddy::profile_builder builder{{2, 4, 2, 7}, "tiny"};
  builder.begin_sequence();
  observe(builder, 0, {0, 1});
  observe(builder, 1, {2, 3});
  observe(builder, 0, {1, 2});
  observe(builder, 1, {3, 0});
  builder.begin_sequence();
  observe(builder, 0, {0, 1});
  observe(builder, 1, {1, 0});
  return builder.finish();
}

using row = std::array<std::uint32_t, 4>;

row row_of(std::vector<std::uint32_t> const& table, buddy::profile const& p, std::uint16_t layer, std::uint16_t i) {
  std::size_t const first = p.pair_index(layer, i, 0);
  return {table[first], table[first + 1], table[first + 2], table[first + 3]};
}

double entropy(floats const& weights) {
  std::array<buddy::q16, buddy::max_top_k> shares;
  auto const k = static_cast<std::uint32_t>(weights.size());
  buddy::normalise(all(weights), {shares.data(), k});
  return buddy::token_entropy_q16({shares.data(), k}) / 65536.0;
}

}  // namespace

TEST_CASE("profile counts activations and common tokens", "[golden][profile]") {
  auto const p = three_tokens();
  CHECK(p.model == "tiny");
  CHECK(p.n_tokens == 3);
  CHECK(p.activations == std::vector<std::uint64_t>{2, 3, 1, 0, 2, 1, 1, 2});
  // Layer 0: {0,1} twice, {1,2} once. Layer 1: {2,3}, {3,0}, {0,1} once each.
  CHECK(row_of(p.coactivations, p, 0, 0) == row{0, 2, 0, 0});
  CHECK(row_of(p.coactivations, p, 0, 1) == row{2, 0, 1, 0});
  CHECK(row_of(p.coactivations, p, 0, 3) == row{0, 0, 0, 0});
  CHECK(row_of(p.coactivations, p, 1, 0) == row{0, 1, 0, 1});
  CHECK(row_of(p.coactivations, p, 1, 3) == row{1, 0, 1, 0});
}

TEST_CASE("profile links a layer to the next, and the last to the first of the token that follows",
          "[golden][profile]") {
  auto const p = three_tokens();
  // Layer 0 to 1: a {0,1}->{2,3}, b {1,2}->{3,0}, c {0,1}->{1,0}.
  CHECK(row_of(p.transitions, p, 0, 0) == row{1, 1, 1, 1});
  CHECK(row_of(p.transitions, p, 0, 1) == row{2, 1, 1, 2});
  CHECK(row_of(p.transitions, p, 0, 2) == row{1, 0, 0, 1});
  // Layer 1 to 0: a {2,3} -> b {1,2} only; c begins another sequence.
  CHECK(row_of(p.transitions, p, 1, 2) == row{0, 1, 1, 0});
  CHECK(row_of(p.transitions, p, 1, 3) == row{0, 1, 1, 0});
  CHECK(row_of(p.transitions, p, 1, 0) == row{0, 0, 0, 0});
}

TEST_CASE("profile counts a batch as its tokens one after the other", "[golden][profile]") {
  buddy::profile_builder batched{{2, 4, 2, 7}, "tiny"};
  observe(batched, 0, {0, 1, 1, 2}, {}, 2);
  observe(batched, 1, {2, 3, 3, 0}, {}, 2);
  batched.begin_sequence();
  observe(batched, 0, {0, 1});
  observe(batched, 1, {1, 0});
  CHECK(batched.finish() == three_tokens());

  // A batch and a token of the same sequence: b {3,0} -> c {0,1} is counted as well.
  buddy::profile_builder joined{{2, 4, 2, 7}, "tiny"};
  observe(joined, 0, {0, 1, 1, 2}, {}, 2);
  observe(joined, 1, {2, 3, 3, 0}, {}, 2);
  observe(joined, 0, {0, 1});
  auto const p = joined.finish();
  CHECK(row_of(p.transitions, p, 1, 3) == row{1, 2, 1, 0});
  CHECK(row_of(p.transitions, p, 1, 0) == row{1, 1, 0, 0});
}

TEST_CASE("profile links a model of one layer to itself", "[golden][profile]") {
  buddy::profile_builder builder{{1, 4, 1, 7}, "tiny"};
  observe(builder, 0, {0, 1, 1}, {}, 3);
  observe(builder, 0, {2});
  auto const p = builder.finish();  // 0 -> 1 -> 1 -> 2
  CHECK(row_of(p.transitions, p, 0, 0) == row{0, 1, 0, 0});
  CHECK(row_of(p.transitions, p, 0, 1) == row{0, 1, 1, 0});
}

TEST_CASE("profile counts no transition across a layer without a record", "[golden][profile]") {
  buddy::profile_builder builder{{3, 4, 1, 7}, "tiny"};
  observe(builder, 0, {0});
  observe(builder, 2, {1});  // layer 1 is missing
  observe(builder, 1, {2});  // a step that begins at layer 1
  observe(builder, 2, {3});
  auto const p = builder.finish();
  std::uint64_t sum = 0;
  for (auto const n : p.transitions) sum += n;
  CHECK(sum == 1);  // only 2 -> 3
  CHECK(p.transitions[p.pair_index(1, 2, 3)] == 1);
  CHECK(p.n_tokens == 2);
}

TEST_CASE("profile adds up the smaller share of each pair", "[golden][profile]") {
  buddy::profile_builder builder{{1, 4, 3, 7}, "tiny"};
  observe(builder, 0, {0, 1, 2}, {4.0F, 2.0F, 2.0F});  // shares 1/2 1/4 1/4
  observe(builder, 0, {3, 1, 0}, {0.5F, 0.25F, 0.25F});
  auto const p = builder.finish();
  CHECK(p.min_weighted[p.pair_index(0, 0, 1)] == 32768);  // 1/4 + 1/4
  CHECK(p.min_weighted[p.pair_index(0, 1, 0)] == 32768);
  CHECK(p.min_weighted[p.pair_index(0, 1, 2)] == 16384);
  CHECK(p.min_weighted[p.pair_index(0, 3, 0)] == 16384);
  CHECK(p.min_weighted[p.pair_index(0, 2, 3)] == 0);
  CHECK(p.min_weighted[p.pair_index(0, 0, 0)] == 0);
}

TEST_CASE("profile orders the token entropies of each layer", "[golden][profile]") {
  buddy::profile_builder builder{{2, 4, 2, 7}, "tiny"};
  observe(builder, 0, {0, 1}, {1.0F, 1.0F});
  observe(builder, 0, {0, 1}, {3.0F, 1.0F});
  observe(builder, 0, {0, 1}, {1.0F, 0.0F});
  observe(builder, 0, {0, 1}, {2.0F, 2.0F});
  auto const p = builder.finish();
  // Four tokens: 0, then .75 log2(4/3) + .25 log2(4) = .81128 (53168 of 65536), then 1 twice.
  // The p-th percentile is the ceil(4p/100)-th of them.
  CHECK(p.entropy_percentile(0, 0) == 0);
  CHECK(p.entropy_percentile(0, 25) == 0);
  CHECK(p.entropy_percentile(0, 26) == 53168);
  CHECK(p.entropy_percentile(0, 50) == 53168);
  CHECK(p.entropy_percentile(0, 51) == 65536);
  CHECK(p.entropy_percentile(0, 100) == 65536);
  CHECK(p.entropy_percentile(1, 100) == 0);  // a layer without a token
}

TEST_CASE("token_entropy_q16 measures how flat the top-k is", "[golden][profile]") {
  // -sum p ln p / ln 6, worked in floating point.
  CHECK(entropy({2, 1, 1, 1, 1, 1}) == Approx(0.97550).margin(0.00005));
  CHECK(entropy({3, 2, 1.5, 1, 1, 1}) == Approx(0.94567).margin(0.00005));
  CHECK(entropy({4, 2, 1.5, 1, 0.8F, 0.7F}) == Approx(0.88820).margin(0.00005));
  CHECK(entropy({1, 1, 1, 1, 1, 1}) == 1.0);  // six shares of 10923 add up to 65538, yet it is not above 1
  CHECK(entropy({1, 1, 1, 1}) == 1.0);
  CHECK(entropy({1, 0, 0}) == 0.0);
  CHECK(entropy({1}) == 0.0);
  CHECK(buddy::max_entropy_q32(8) == std::uint64_t{3} << 32);
  std::array<buddy::q16, 4> const shares{32768, 16384, 16384, 0};
  CHECK(buddy::entropy_q32({shares.data(), 4}) == std::uint64_t{3} << 31);  // 1/2 + 2/4 + 2/4 = 1.5
}

TEST_CASE("profile compares the rows of the router", "[golden][profile]") {
  buddy::profile_builder builder{{1, 3, 1, 7}, "tiny"};
  floats const rows{3, 4, 0, 5, 0, 0};  // (3,4), (0,5), (0,0)
  builder.router_rows(0, all(rows));
  auto const p = builder.finish();
  // (3,4).(0,5) / (5 x 5) = 20/25; nothing resembles a zero row, not even itself.
  floats const expected{1.0F, 0.8F, 0.0F, 0.8F, 1.0F, 0.0F, 0.0F, 0.0F, 0.0F};
  for (std::size_t i = 0; i != expected.size(); ++i) CHECK(p.router_cosine[i] == Approx(expected[i]));
}

TEST_CASE("profile_builder refuses what no router can say", "[golden][profile]") {
  buddy::profile_builder builder{{2, 4, 2, 7}, "tiny"};
  float const nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(observe(builder, 2, {0, 1}), buddy::config_error);
  CHECK_THROWS_AS(observe(builder, 0, {0, 4}), buddy::config_error);
  CHECK_THROWS_AS(observe(builder, 0, {1, 1}), buddy::config_error);
  CHECK_THROWS_AS(observe(builder, 0, {0, 1, 2}), buddy::config_error);
  CHECK_THROWS_AS(observe(builder, 0, {0, 1}, {1.0F}), buddy::config_error);
  CHECK_THROWS_AS(observe(builder, 0, {0, 1}, {1.0F, -1.0F}), buddy::config_error);
  CHECK_THROWS_AS(observe(builder, 0, {0, 1}, {1.0F, nan}), buddy::config_error);
  CHECK(builder.finish().n_tokens == 0);  // nothing of these was counted

  observe(builder, 0, {0, 1}, {1.0F, 1.0F});
  CHECK_THROWS_AS(observe(builder, 1, {0, 1}), buddy::config_error);  // weights only now and then

  CHECK_THROWS_AS(builder.router_rows(2, all(floats(8))), buddy::config_error);
  CHECK_THROWS_AS(builder.router_rows(0, all(floats(7))), buddy::config_error);
  CHECK_THROWS_AS(builder.router_rows(0, {}), buddy::config_error);
  CHECK_THROWS_AS(builder.router_rows(0, all(floats{nan, 1, 1, 1})), buddy::config_error);
  builder.router_rows(0, all(floats(8)));
  CHECK_THROWS_AS(builder.finish(), buddy::config_error);  // layer 1 has no rows
  CHECK_THROWS_AS((buddy::profile_builder{{0, 4, 2, 7}, "tiny"}), buddy::config_error);
}
