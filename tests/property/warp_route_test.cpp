// SPDX-License-Identifier: Apache-2.0
// The router as a warp computes it is the router as it is written down, for any logits.
#include "catch.hpp"

#include <buddy/cuda/emulated_warp.hpp>
#include <buddy/cuda/warp_route.hpp>
#include <buddy/cuda/warp_select.hpp>
#include <buddy/policies/selection/score_scan.hpp>
#include <buddy/router.hpp>
#include <buddy/testing/dice.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

namespace {

using buddy::cuda::emulated_warp;
using buddy::testing::dice;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

struct routed {
  std::vector<std::uint16_t> experts;
  std::vector<float> weights;
  std::vector<float> scores;

  routed(std::uint32_t top_k, std::uint32_t n_experts) : experts(top_k), weights(top_k), scores(n_experts) {}

  [[nodiscard]] buddy::view<std::uint16_t> ids() {
    return {experts.data(), static_cast<std::uint32_t>(experts.size())};
  }
  [[nodiscard]] buddy::view<float> gates() { return {weights.data(), static_cast<std::uint32_t>(weights.size())}; }
  [[nodiscard]] buddy::view<float> all() { return {scores.data(), static_cast<std::uint32_t>(scores.size())}; }
};

bool same_bits(std::vector<float> const& a, std::vector<float> const& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

buddy::view<float const> of(std::vector<float> const& x) { return {x.data(), static_cast<std::uint32_t>(x.size())}; }

routed serially(std::vector<float> const& logits, std::uint32_t top_k, buddy::router_rule const& rule) {
  routed r{top_k, static_cast<std::uint32_t>(logits.size())};
  buddy::route_token(of(logits), rule, r.ids(), r.gates(), r.all());
  return r;
}

template <std::uint32_t PerLane>
routed in_lanes(std::vector<float> const& logits, std::uint32_t top_k, buddy::router_rule const& rule) {
  routed r{top_k, static_cast<std::uint32_t>(logits.size())};
  buddy::cuda::route_token<PerLane>(emulated_warp{}, of(logits), rule, r.ids(), r.gates(), r.all());
  return r;
}

void check_same(std::vector<float> const& logits, std::uint32_t top_k, buddy::router_rule const& rule) {
  auto const expected = serially(logits, top_k, rule);
  auto const got = logits.size() <= 256 ? in_lanes<8>(logits, top_k, rule) : in_lanes<32>(logits, top_k, rule);
  INFO(logits.size() << " experts, top-" << top_k);
  CHECK(got.experts == expected.experts);
  CHECK(same_bits(got.weights, expected.weights));
  CHECK(same_bits(got.scores, expected.scores));
  CHECK(std::set<std::uint16_t>(got.experts.begin(), got.experts.end()).size() == top_k);
}

/// Ordinary logits with ties, now and then something odd.
std::vector<float> draw_logits(dice& roll, std::uint32_t n) {
  constexpr float odd[] = {0.0F, -0.0F, infinity, -infinity, not_a_number, 1e30F, -1e30F, 1e-40F};
  std::vector<float> logits(n);
  bool const all_ordinary = roll.roll(2) == 0;
  for (float& z : logits)
    z = !all_ordinary && roll.roll(8) == 0 ? odd[roll.roll(8)] : static_cast<float>(roll.roll(600)) / 50.0F - 6.0F;
  return logits;
}

buddy::router_rule draw_rule(dice& roll) {
  return {roll.roll(2) == 0 ? buddy::score_function::softmax : buddy::score_function::sigmoid, roll.roll(2) == 0,
          roll.roll(2) == 0 ? 1.0F : 2.5F};
}

}  // namespace

TEST_CASE("a router gives the largest logits the weights of a softmax", "[property][router]") {
  // Against double precision: 1.2e-7 is one unit of a float near 1, 4e-5 the rounding of Q30 at a share of 1e-4 / 4.
  dice roll(1);
  for (int round = 0; round != 300; ++round) {
    std::uint32_t const n = 8 + roll.roll(120);
    std::vector<float> logits(n);
    for (float& z : logits) z = static_cast<float>(roll.roll(10'000)) / 1000.0F;
    auto const r = serially(logits, 4, {.renormalise = false});
    double sum = 0;
    for (float const z : logits) sum += std::exp(static_cast<double>(z));
    for (std::uint32_t s = 0; s != 4; ++s) {
      double const exact = std::exp(static_cast<double>(logits[r.experts[s]])) / sum;
      CHECK(std::abs(r.weights[s] - exact) < 4e-7);
      if (s != 0) CHECK(logits[r.experts[s]] <= logits[r.experts[s - 1]]);
    }
    float worst_chosen = logits[r.experts[3]];
    for (std::uint32_t e = 0; e != n; ++e)
      if (logits[e] > worst_chosen) CHECK(std::count(r.experts.begin(), r.experts.end(), e) == 1);
  }
}

TEST_CASE("a sigmoid router scores each logit alone", "[property][router]") {
  auto const r = serially({0.0F, 2.0F, -2.0F, infinity, -infinity, not_a_number}, 2,
                          {.scores = buddy::score_function::sigmoid, .renormalise = false});
  CHECK(r.experts == std::vector<std::uint16_t>{3, 1});
  CHECK(r.scores[0] == 0.5F);
  CHECK(std::abs(r.scores[1] - 0.88079708) < 1e-7);  // 1 / (1 + e^-2)
  CHECK(std::abs(r.scores[2] - 0.11920292) < 1e-7);
  CHECK(r.scores[3] == 1.0F);
  CHECK(r.scores[4] == 0.0F);
  CHECK(r.scores[5] == 0.0F);
}

TEST_CASE("a router is defined for logits that are no numbers", "[property][router]") {
  // All alike: the lowest ids, equal weights.
  auto const none = serially({not_a_number, -infinity, not_a_number, not_a_number}, 2, {});
  CHECK(none.experts == std::vector<std::uint16_t>{0, 1});
  CHECK(none.weights == std::vector<float>{0.5F, 0.5F});
  // Infinity takes everything; two of them share it.
  auto const two = serially({1.0F, infinity, 3.0F, infinity}, 3, {.renormalise = false});
  CHECK(two.experts == std::vector<std::uint16_t>{1, 3, 2});
  CHECK(two.weights == std::vector<float>{0.5F, 0.5F, 0.0F});
}

TEST_CASE("a warp routes as the plain router does", "[property][router][warp]") {
  dice roll(static_cast<std::uint32_t>(GENERATE(1, 2, 3)));
  for (int round = 0; round != 300; ++round) {
    std::uint32_t const n = 1 + roll.roll(round % 10 == 0 ? 1024 : 256);
    std::uint32_t const top_k = 1 + roll.roll(n < 32 ? n : 32);
    check_same(draw_logits(roll, n), top_k, draw_rule(roll));
  }
}

TEST_CASE("a warp routes corner shapes as the plain router does", "[property][router][warp]") {
  for (std::uint32_t const n : {1U, 2U, 31U, 32U, 33U, 64U, 255U, 256U, 257U, 1024U}) {
    check_same(std::vector<float>(n, 1.0F), n < 32 ? n : 32, {});  // ties everywhere, and top_k = n_experts
    check_same(std::vector<float>(n, not_a_number), 1, {});
  }
}

TEST_CASE("a warp finds the best resident as the plain scan does", "[property][live_score][warp]") {
  dice roll(static_cast<std::uint32_t>(GENERATE(1, 2, 3)));
  for (int round = 0; round != 1000; ++round) {
    std::uint32_t const n = 1 + roll.roll(round % 10 == 0 ? 1024 : 300);
    auto const scores = draw_logits(roll, n);
    std::vector<buddy::slot_id> slot_of(n, buddy::no_slot);
    buddy::expert_set taken(n);
    for (std::uint32_t e = 0; e != n; ++e) {
      if (roll.roll(2) == 0) slot_of[e] = buddy::slot_id{e};
      if (roll.roll(10) == 0) taken.insert(e);
    }
    auto const plain = buddy::selection::detail::select_by_score(of(scores), {slot_of.data(), n}, taken);
    auto const lanes = buddy::cuda::detail::best_resident(emulated_warp{}, of(scores), {slot_of.data(), n}, taken);
    INFO("round " << round << ", " << n << " experts");
    REQUIRE(plain.found == lanes.found);
    REQUIRE(plain.expert == lanes.expert);
    REQUIRE(plain.rank == lanes.rank);
  }
}
