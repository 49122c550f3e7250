// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/gate_weights.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

using buddy::resolution;
using buddy::weight_mode;

namespace {

constexpr std::array<std::uint16_t, 3> experts{4, 2, 0};
constexpr std::array<float, 3> weights{0.5F, 0.25F, 0.25F};
// Scores of the routed experts are their weights times 1/2; the buddies 1 and 3 have scores of their own.
constexpr std::array<float, 5> scores{0.125F, 0.375F, 0.125F, 0.0625F, 0.25F};

using row = std::array<buddy::assignment, 3>;

row assign(row r, weight_mode mode, bool renormalise, bool with_scores = true) {
  buddy::view<float const> const s =
      with_scores ? buddy::view<float const>{scores.data(), 5} : buddy::view<float const>{};
  buddy::assign_gate_weights({experts.data(), 3}, {weights.data(), 3}, s, mode, renormalise, {r.data(), 3});
  return r;
}

/// Equal but for the rounding of a float.
bool near(float x, double y) { return std::abs(x - y) < 1e-6; }

row const hits{{{.expert = 4}, {.expert = 2}, {.expert = 0}}};
row const one_buddy{{{.expert = 4}, {.expert = 1, .how = resolution::buddy}, {.expert = 0}}};
row const one_drop{{{.expert = 4}, {.expert = 2, .how = resolution::drop}, {.expert = 0}}};
row const all_dropped{{{.expert = 4, .how = resolution::drop},
                       {.expert = 2, .how = resolution::drop},
                       {.expert = 0, .how = resolution::drop}}};

}  // namespace

TEST_CASE("a token of hits keeps the bits of its weights in every mode", "[unit][gate_weights]") {
  std::array<float, 3> const odd{0.1F, 0.7F, 0.3F};  // sums that rounding would change
  for (auto const mode : {weight_mode::keep, weight_mode::own}) {
    for (bool const renormalise : {false, true}) {
      row r = hits;
      buddy::assign_gate_weights({experts.data(), 3}, {odd.data(), 3}, {scores.data(), 5}, mode, renormalise,
                                 {r.data(), 3});
      for (std::uint32_t s = 0; s != 3; ++s) CHECK(std::memcmp(&r[s].weight, &odd[s], sizeof(float)) == 0);
    }
  }
}

TEST_CASE("keep gives the buddy the weight of the expert it serves", "[unit][gate_weights]") {
  for (bool const renormalise : {false, true}) {  // the sum is what it was: nothing to scale
    auto const r = assign(one_buddy, weight_mode::keep, renormalise);
    CHECK(r[0].weight == 0.5F);
    CHECK(r[1].weight == 0.25F);
    CHECK(r[2].weight == 0.25F);
  }
}

TEST_CASE("own gives the buddy its own score in the scale of the weights", "[unit][gate_weights]") {
  auto const r = assign(one_buddy, weight_mode::own, false);
  CHECK(r[0].weight == 0.5F);
  CHECK(r[1].weight == 0.75F);  // .375 * (.25 / .125)
  CHECK(r[2].weight == 0.25F);
}

TEST_CASE("own with renormalise scales the token back to the sum it had", "[unit][gate_weights]") {
  auto const r = assign(one_buddy, weight_mode::own, true);  // 1.5 now, 1 before: times 2/3
  CHECK(near(r[0].weight, 1.0 / 3.0));
  CHECK(near(r[1].weight, 0.5));
  CHECK(near(r[2].weight, 1.0 / 6.0));
}

TEST_CASE("own without scores is keep", "[unit][gate_weights]") {
  CHECK(assign(one_buddy, weight_mode::own, false, false)[1].weight == 0.25F);
}

TEST_CASE("own for a slot whose score is 0 gives weight 0", "[unit][gate_weights]") {
  std::array<float, 5> const zero_score{0.125F, 0.375F, 0.0F, 0.0625F, 0.25F};
  row r = one_buddy;
  buddy::assign_gate_weights({experts.data(), 3}, {weights.data(), 3}, {zero_score.data(), 5}, weight_mode::own, false,
                             {r.data(), 3});
  CHECK(r[1].weight == 0.0F);  // there is no scale to bring it to; never a division by 0
}

TEST_CASE("a dropped slot weighs nothing", "[unit][gate_weights]") {
  auto const plain = assign(one_drop, weight_mode::keep, false);
  CHECK(plain[0].weight == 0.5F);
  CHECK(plain[1].weight == 0.0F);
  auto const scaled = assign(one_drop, weight_mode::keep, true);  // .75 now, 1 before: times 4/3
  CHECK(near(scaled[0].weight, 2.0 / 3.0));
  CHECK(scaled[1].weight == 0.0F);
  CHECK(near(scaled[2].weight, 1.0 / 3.0));
}

TEST_CASE("a token of which nothing is left weighs nothing, and no division by 0 happens", "[unit][gate_weights]") {
  for (auto const& slot : assign(all_dropped, weight_mode::keep, true)) CHECK(slot.weight == 0.0F);
}

TEST_CASE("a fetched or a host slot keeps its weight", "[unit][gate_weights]") {
  row r = hits;
  r[0].how = resolution::fetch;
  r[1].how = resolution::host;
  auto const got = assign(r, weight_mode::own, true);
  for (std::uint32_t s = 0; s != 3; ++s) CHECK(got[s].weight == weights[s]);
}

TEST_CASE("a stand-in's scale multiplies its weight and counts as a change", "[unit][gate_weights]") {
  std::array<buddy::slot_outcome, 3> ends{};
  ends[1].scale_q16 = buddy::q16_one / 2;
  auto const scaled = [&](bool renormalise) {
    row r = one_buddy;
    buddy::assign_gate_weights({experts.data(), 3}, {weights.data(), 3}, {}, weight_mode::keep, renormalise,
                               {r.data(), 3}, {ends.data(), 3});
    return r;
  };
  CHECK(scaled(false)[0].weight == 0.5F);
  CHECK(scaled(false)[1].weight == 0.125F);  // .25 / 2
  auto const whole = scaled(true);           // .875 now, 1 before: times 8/7
  CHECK(near(whole[0].weight, 4.0 / 7.0));
  CHECK(near(whole[1].weight, 1.0 / 7.0));
}

TEST_CASE("a scale of exactly 1 leaves the bits of the weights", "[unit][gate_weights]") {
  std::array<float, 3> const odd{0.1F, 0.7F, 0.3F};  // sums that rounding would change
  std::array<buddy::slot_outcome, 3> const ends{};
  row r = one_buddy;
  buddy::assign_gate_weights({experts.data(), 3}, {odd.data(), 3}, {}, weight_mode::keep, true, {r.data(), 3},
                             {ends.data(), 3});
  for (std::uint32_t s = 0; s != 3; ++s) CHECK(std::memcmp(&r[s].weight, &odd[s], sizeof(float)) == 0);
}
