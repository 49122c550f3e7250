// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden/tiny_models.hpp"

#include <buddy/resolver.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

using buddy::budget_order;
using buddy::refusal;
using buddy::resolution;

namespace {

// One token of six experts with these shares; experts 0 to 5 are routed, 6 to 11 can stand in.
// Ascending share: slots 5, 4, 3, 2, 1, 0 (4 before 3 on a tie).
constexpr std::uint32_t top_k = 6;
constexpr std::array<std::uint16_t, top_k> experts{0, 1, 2, 3, 4, 5};
constexpr std::array<buddy::q16, top_k> shares{20000, 16000, 12000, 7000, 7000, 3536};
constexpr buddy::token_view token{
    .layer = 0, .number = 1, .experts = {experts.data(), top_k}, .shares = {shares.data(), top_k}, .scores = {}};

struct resolved {
  std::array<buddy::slot_outcome, top_k> slots{};
  std::uint32_t given{};
};

template <class Selector = tiny::lowest_resident>
resolved resolve(std::initializer_list<std::uint16_t> residents, buddy::row_rules const& rules = {},
                 tiny::masked gate = {}, Selector selector = {}) {
  std::vector<buddy::slot_id> slot_of(12, buddy::no_slot);
  for (std::uint16_t const e : residents) slot_of[e] = buddy::slot_id{e};
  resolved r;
  r.given = buddy::resolve_row(token, {slot_of.data(), 12}, rules, gate, selector, {r.slots.data(), top_k});
  return r;
}

/// Expert, resolution and reason of one slot, as a line to compare.
std::string show(buddy::slot_outcome const& o) {
  return std::to_string(o.expert) + " " + std::string(to_string(o.how)) + " " + std::string(to_string(o.why));
}

}  // namespace

TEST_CASE("a token whose experts are all resident keeps them", "[golden][resolver]") {
  auto const r = resolve({0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(r.given == 0);
  for (std::uint16_t s = 0; s != top_k; ++s) CHECK(show(r.slots[s]) == std::to_string(s) + " own none");
}

TEST_CASE("missing experts get stand-ins in the router's order", "[golden][resolver]") {
  auto const r = resolve({0, 2, 4, 7, 9, 10});  // 1, 3, 5 are missing; the lowest free residents are 7, 9, 10
  CHECK(r.given == 3);
  CHECK(show(r.slots[0]) == "0 own none");
  CHECK(show(r.slots[1]) == "7 buddy none");
  CHECK(show(r.slots[2]) == "2 own none");
  CHECK(show(r.slots[3]) == "9 buddy none");
  CHECK(show(r.slots[5]) == "10 buddy none");
}

TEST_CASE("rho is spent on the heaviest missing slots in the router's order", "[golden][resolver]") {
  // All missing, rho 2: slots 0 and 1 are served, the other four run into the budget.
  auto const r = resolve({6, 7, 8, 9}, {.token_budget = 2});
  CHECK(r.given == 2);
  CHECK(show(r.slots[0]) == "6 buddy none");
  CHECK(show(r.slots[1]) == "7 buddy none");
  for (std::uint16_t s = 2; s != top_k; ++s) CHECK(show(r.slots[s]) == std::to_string(s) + " fetch token_budget");
}

TEST_CASE("rho is spent on the lightest missing slots when asked to spare the heavy ones", "[golden][resolver]") {
  // Ascending share: slot 5, then 4 before 3 (a tie goes to the later slot).
  auto const r = resolve({6, 7, 8, 9}, {.order = budget_order::lightest_first, .token_budget = 2});
  CHECK(r.given == 2);
  CHECK(show(r.slots[5]) == "6 buddy none");
  CHECK(show(r.slots[4]) == "7 buddy none");
  for (std::size_t const s : {0U, 1U, 2U, 3U}) CHECK(show(r.slots[s]) == std::to_string(s) + " fetch token_budget");
}

TEST_CASE("rho of 0 gives nothing", "[golden][resolver]") {
  auto const r = resolve({6, 7}, {.token_budget = 0});
  CHECK(r.given == 0);
  CHECK(show(r.slots[0]) == "0 fetch token_budget");
}

TEST_CASE("what the sliding window has left limits the token, and rho is named first", "[golden][resolver]") {
  auto const r = resolve({6, 7, 8}, {.window_budget = 1});
  CHECK(r.given == 1);
  CHECK(show(r.slots[0]) == "6 buddy none");
  CHECK(show(r.slots[1]) == "1 fetch replacement_ratio");
  CHECK(show(resolve({6}, {.token_budget = 0, .window_budget = 0}).slots[0]) == "0 fetch token_budget");
}

TEST_CASE("a slot that the gate forbids costs nothing of the budget", "[golden][resolver]") {
  // Slots 0 and 2 are forbidden; rho 1 is still there for slot 1.
  auto const r = resolve({6, 7}, {.token_budget = 1}, {.mask = 0b111010});
  CHECK(r.given == 1);
  CHECK(show(r.slots[0]) == "0 fetch sensitivity");
  CHECK(show(r.slots[1]) == "6 buddy none");
  CHECK(show(r.slots[2]) == "2 fetch sensitivity");
  CHECK(show(r.slots[3]) == "3 fetch token_budget");
}

TEST_CASE("two missing experts never share a stand-in", "[golden][resolver]") {
  auto const r = resolve({0, 1, 2, 3, 6}, {});  // 4 and 5 are missing, one stand-in is left
  CHECK(show(r.slots[4]) == "6 buddy none");
  CHECK(show(r.slots[5]) == "5 fetch no_stand_in");
}

TEST_CASE("an expert that the token routed to does not stand in for another", "[golden][resolver]") {
  auto const r = resolve({0, 1, 2, 3, 4}, {});  // only 5 is missing, and only routed experts are resident
  CHECK(r.given == 0);
  CHECK(show(r.slots[5]) == "5 fetch no_stand_in");
  CHECK(show(resolve({2, 6}, {}, {}, tiny::only{2}).slots[0]) == "0 fetch no_stand_in");
}

TEST_CASE("a closed row gives its reason for every miss and touches no hit", "[golden][resolver]") {
  auto const r = resolve({1, 6, 7}, {.closed = refusal::distribution_gate, .otherwise = resolution::host});
  CHECK(r.given == 0);
  CHECK(show(r.slots[0]) == "0 host distribution_gate");
  CHECK(show(r.slots[1]) == "1 own none");
  CHECK(show(r.slots[5]) == "5 host distribution_gate");
}

TEST_CASE("a dropped slot names the missing expert and counts as a stand-in", "[golden][resolver]") {
  auto const r = resolve({0}, {.token_budget = 1}, {}, buddy::selection::zero_fill{});
  CHECK(r.given == 1);
  CHECK(show(r.slots[1]) == "1 drop none");
  CHECK(show(r.slots[2]) == "2 fetch token_budget");
}

TEST_CASE("the stand-in's rank is passed on", "[golden][resolver]") {
  auto const r = resolve({9}, {}, {}, tiny::only{9});
  CHECK(r.slots[0].rank == 5);
  CHECK(r.slots[1].rank == 0);  // not served
}

TEST_CASE("a row can be resolved at compile time", "[golden][resolver]") {
  constexpr std::uint32_t given = [] {
    std::array<buddy::slot_id, 12> slot_of{};
    for (auto& s : slot_of) s = buddy::no_slot;
    slot_of[8] = buddy::slot_id{0};
    std::array<buddy::slot_outcome, top_k> out{};
    return buddy::resolve_row(token, {slot_of.data(), 12}, {}, tiny::masked{}, tiny::lowest_resident{},
                              {out.data(), top_k});
  }();
  STATIC_REQUIRE(given == 1);
}
