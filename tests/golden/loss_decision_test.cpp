// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/expected_error.hpp>
#include <buddy/policies/selection/expected_error.hpp>
#include <buddy/policies/selection/zero_fill.hpp>
#include <buddy/policies/sensitivity/always.hpp>
#include <buddy/resolver.hpp>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using buddy::budget_order;
using buddy::q16_one;
using buddy::resolution;

namespace {

constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = 6, .top_k = 3, .expert_bytes = 1};

// Shares 1/2, 1/4, 1/4 of experts 0, 1, 2. Full losses 400, 800, 3200: 100, 50, 200 micro-bits for this token.
constexpr std::array<std::uint16_t, 3> experts{0, 1, 2};
constexpr std::array<buddy::q16, 3> shares{q16_one / 2, q16_one / 4, q16_one / 4};
constexpr buddy::token_view token{
    .layer = 0, .number = 1, .experts = {experts.data(), 3}, .shares = {shares.data(), 3}, .scores = {}};

buddy::expected_errors errors() {
  buddy::expected_errors e(shape);
  e.set_stand_in({0, 0}, resolution::low_precision, 400, 1);
  e.set_stand_in({0, 1}, resolution::surrogate, 800, 1);
  e.set_stand_in({0, 2}, resolution::drop, 3200, 1);
  return e;
}

struct row {
  std::array<buddy::slot_outcome, 3> slots{};
  std::uint32_t given{};
};

template <class Selector>
row resolve(Selector const& selector, buddy::row_rules rules, std::vector<std::uint16_t> const& residents = {}) {
  rules.order = budget_order::least_loss;
  std::vector<buddy::slot_id> slot_of(6, buddy::no_slot);
  for (std::uint16_t const e : residents) slot_of[e] = buddy::slot_id{e};
  row r;
  r.given = buddy::resolve_row(token, {slot_of.data(), 6}, rules, buddy::sensitivity::always{}, selector,
                               {r.slots.data(), 3});
  return r;
}

std::string show(buddy::slot_outcome const& o) {
  return std::to_string(o.expert) + " " + std::string(to_string(o.how)) + " " + std::string(to_string(o.why)) + " " +
         std::to_string(o.loss_ub);
}

}  // namespace

TEST_CASE("stand-ins are given where they lose less than a fetch is worth", "[golden][loss_decision]") {
  // A fetch is worth 120: 50 and 100 are below, 200 is not.
  auto const e = errors();
  auto const r = resolve(buddy::selection::expected_error{e.ref(), {}}, {.loss = {.fetch_worth_ub = 120}});
  CHECK(r.given == 2);
  CHECK(show(r.slots[0]) == "0 low_precision none 100");
  CHECK(show(r.slots[1]) == "1 surrogate none 50");
  CHECK(show(r.slots[2]) == "2 fetch loss_budget 0");
}

TEST_CASE("the allowance goes to the cheapest stand-ins", "[golden][loss_decision]") {
  // 149 holds 50, not 50 + 100; 150 holds both.
  auto const e = errors();
  buddy::selection::expected_error const selector{e.ref(), {}};
  auto const r = resolve(selector, {.loss = {.allowance_ub = 149}});
  CHECK(r.given == 1);
  CHECK(show(r.slots[0]) == "0 fetch loss_budget 0");
  CHECK(show(r.slots[1]) == "1 surrogate none 50");
  CHECK(resolve(selector, {.loss = {.allowance_ub = 150}}).given == 2);
}

TEST_CASE("rho and the window hold by least loss too, and say so", "[golden][loss_decision]") {
  auto const e = errors();
  buddy::selection::expected_error const selector{e.ref(), {}};
  auto const r = resolve(selector, {.token_budget = 1});
  CHECK(show(r.slots[1]) == "1 surrogate none 50");
  CHECK(show(r.slots[0]) == "0 fetch token_budget 0");
  CHECK(show(resolve(selector, {.window_budget = 1}).slots[2]) == "2 fetch replacement_ratio 0");
}

TEST_CASE("two lanes make a fetch worth less when the other lane is longer", "[golden][loss_decision]") {
  // Three misses take as long as two, two as long as one and a half: replacing one of three saves nothing of the time.
  // Sums with 120 a fetch: none 240, one 180 + 50, two 120 + 150, all 350. So one.
  auto const e = errors();
  std::array<buddy::q16, 4> const times{0, q16_one, q16_one * 3 / 2, 2 * q16_one};
  auto const r = resolve(buddy::selection::expected_error{e.ref(), {}},
                         {.loss = {.fetch_worth_ub = 120, .times_q16 = {times.data(), 4}}});
  CHECK(r.given == 1);
  CHECK(show(r.slots[1]) == "1 surrogate none 50");
}

TEST_CASE("what arrives for another token of the batch is waited for", "[golden][loss_decision]") {
  auto const e = errors();
  auto const r = resolve(buddy::selection::expected_error{e.ref(), {}}, {.loss = {.arriving = 0b010}});
  CHECK(r.given == 2);
  CHECK(show(r.slots[1]) == "1 fetch loss_budget 0");
}

TEST_CASE("a selector that knows no losses gives nothing by least loss", "[golden][loss_decision]") {
  auto const r = resolve(buddy::selection::zero_fill{}, {});
  CHECK(r.given == 0);
  CHECK(show(r.slots[0]) == "0 fetch loss_budget 0");
}

TEST_CASE("a buddy that a cheaper slot took is asked for again", "[golden][loss_decision]") {
  // Buddy 3 serves 0 at 80 / 4 = 20 and 2 at 160 / 16 = 10; buddy 4 serves 0 at 240 / 4 = 60. Slot 2 is cheaper and has
  // 3; slot 0 takes 4 at 60 if the allowance of 80 bears 10 + 60, and 69 does not.
  auto e = errors();
  e.add_buddies();
  e.set_buddy({0, 0}, 3, {80, q16_one});
  e.set_buddy({0, 0}, 4, {240, q16_one});
  e.set_buddy({0, 2}, 3, {160, q16_one / 2});
  buddy::selection::expected_error const selector{e.ref(), {}};
  auto const r = resolve(selector, {.loss = {.allowance_ub = 80}}, {1, 3, 4});
  CHECK(show(r.slots[1]) == "1 own none 0");
  CHECK(show(r.slots[2]) == "3 buddy none 10");
  CHECK(r.slots[2].scale_q16 == q16_one / 2);
  CHECK(show(r.slots[0]) == "4 buddy none 60");
  CHECK(show(resolve(selector, {.loss = {.allowance_ub = 69}}, {1, 3, 4}).slots[0]) == "0 fetch loss_budget 0");
}

TEST_CASE("losses are corrected by layer and by the norm of the hidden state", "[golden][loss_decision]") {
  // Reference norm 8 (log2 3), the token's 4 (log2 2): four times the loss. The layer's factor 1.5: six times. 50 ->
  // 300.
  auto const e = errors();
  std::array<buddy::q16, 1> const factor{q16_one * 3 / 2};
  std::array<std::int32_t, 1> const reference{3 * 65536};
  buddy::selection::expected_error selector{e.ref(), {{factor.data(), 1}, {reference.data(), 1}}};
  std::vector<buddy::slot_id> const nobody(6, buddy::no_slot);
  auto const ask = [&](std::int32_t norm) {
    buddy::token_view t = token;
    t.norm_log2_q16 = norm;
    return selector.select(t, {nobody.data(), 6}, buddy::expert_set(6), 1).loss_ub;
  };
  CHECK(ask(2 * 65536) == 300);
  CHECK(ask(3 * 65536) == 75);
  CHECK(ask(5 * 65536) == 5);  // 75 / 16 = 4.7, rounded up
  CHECK(ask(buddy::unknown_norm) == 75);
  CHECK(ask(-100 * 65536) == 75U << 15);  // held to 2^15
  CHECK(ask(100 * 65536) == 1);           // never nothing
  selector.corrections = {};
  CHECK(ask(2 * 65536) == 50);
}

TEST_CASE("the logarithm of a norm is exact for powers of two, and unknown for what has none", "[golden][routing]") {
  CHECK(buddy::norm_log2_q16(8.0F) == 3 * 65536);
  CHECK(buddy::norm_log2_q16(0.25F) == -2 * 65536);
  for (float const none :
       {0.0F, -1.0F, 1e-40F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    CHECK(buddy::norm_log2_q16(none) == buddy::unknown_norm);
}
