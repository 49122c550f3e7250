// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/policies/selection/coactivation.hpp>

#include <array>
#include <cstdint>
#include <initializer_list>

using buddy::selection::coactivation;

namespace {

constexpr std::uint32_t n_experts = 6;

/// Expert 0 of layer 1 has the buddies 4 (1/2), 2 (1/4), 5 (1/8), 3 (1/8).
buddy::buddy_table one_list() {
  buddy::buddy_table table{{2, n_experts, 2, 1}, 4};
  table.append({1, 0}, 4, 32768);
  table.append({1, 0}, 2, 16384);
  table.append({1, 0}, 5, 8192);
  table.append({1, 0}, 3, 8192);
  return table;
}

/// A token of layer 1, routed to 0 (missing) and 1.
struct scene {
  std::array<std::uint16_t, 2> experts{0, 1};
  std::array<buddy::q16, 2> shares{40000, 25536};
  std::array<float, n_experts> scores{0.5F, 0.25F, 0.125F, 0.0F, 0.03125F, 0.0625F};
  std::array<buddy::slot_id, n_experts> slots;
  buddy::expert_set taken{n_experts};

  explicit scene(std::initializer_list<std::uint16_t> residents) {
    slots.fill(buddy::no_slot);
    for (auto const e : residents) slots[e] = buddy::slot_id{e};
    taken.insert(0);
    taken.insert(1);
  }

  buddy::stand_in ask(coactivation const& selector, bool with_scores = true) const {
    buddy::token_view const token{
        1, 0, {experts.data(), 2}, {shares.data(), 2}, {scores.data(), with_scores ? n_experts : 0}};
    return selector.select(token, {slots.data(), n_experts}, taken, 0);
  }
};

}  // namespace

TEST_CASE("coactivation takes the first resident entry of the list", "[golden][coactivation]") {
  auto const table = one_list();
  coactivation const selector{table.ref()};
  auto const first = scene{1, 2, 3, 4, 5}.ask(selector);
  CHECK(first.found);
  CHECK(first.how == buddy::resolution::buddy);
  CHECK(first.expert == 4);
  CHECK(first.rank == 0);
  auto const third = scene{1, 3, 5}.ask(selector);
  CHECK(third.expert == 5);
  CHECK(third.rank == 2);
}

TEST_CASE("coactivation passes over what the token already uses", "[golden][coactivation]") {
  auto const table = one_list();
  scene s{1, 2, 4};
  s.taken.insert(4);
  CHECK(s.ask({table.ref()}).expert == 2);
  s.taken.insert(2);
  CHECK_FALSE(s.ask({table.ref()}).found);
}

TEST_CASE("coactivation looks at no more entries than the limit, resident or not", "[golden][coactivation]") {
  auto const table = one_list();
  scene const s{5};  // third in the list
  CHECK_FALSE(s.ask({.table = table.ref(), .search_limit = 2}).found);
  CHECK(s.ask({.table = table.ref(), .search_limit = 3}).expert == 5);
  CHECK_FALSE(scene{4}.ask({.table = table.ref(), .search_limit = 0}).found);
}

TEST_CASE("coactivation finds nothing for an expert without a list", "[golden][coactivation]") {
  buddy::buddy_table const empty{{2, n_experts, 2, 1}, 4};
  CHECK_FALSE(scene{1, 2, 3, 4, 5}.ask({empty.ref()}).found);
}

TEST_CASE("coactivation lets the live score lift a candidate when eta is not 0", "[golden][coactivation]") {
  // z = score / .5: expert 4 .0625, 2 .25, 5 .125, 3 0. Psi = q (1 + eta z):
  //   eta 4:  4: .5 x 1.25 = .625     2: .25 x 2 = .5    5: .125 x 1.5 = .1875   3: .125
  //   eta 16: 4: .5 x 2    = 1        2: .25 x 5 = 1.25  5: .125 x 3 = .375      3: .125
  //   eta 8:  4: .5 x 1.5  = .75      2: .25 x 3 = .75: a tie, so the earlier entry
  auto const table = one_list();
  scene const s{1, 2, 3, 4, 5};
  auto const eta = [&](std::uint32_t whole) {
    return coactivation{.table = table.ref(), .search_limit = 16, .eta_q16 = whole << 16};
  };
  CHECK(s.ask(eta(4)).expert == 4);
  CHECK(s.ask(eta(8)).expert == 4);
  CHECK(s.ask(eta(16)).expert == 2);
  CHECK(s.ask(eta(16)).rank == 1);
  // Hidden scores: z = 0, so the order of the list.
  CHECK(s.ask(eta(16), false).expert == 4);
  // The limit holds here too: the second entry is not looked at.
  CHECK(s.ask({.table = table.ref(), .search_limit = 1, .eta_q16 = 16U << 16}).expert == 4);
  // And so does uniqueness.
  scene used{1, 2, 3, 4, 5};
  used.taken.insert(2);
  CHECK(used.ask(eta(16)).expert == 4);
}

TEST_CASE("coactivation marks candidates down for each hop", "[golden][coactivation]") {
  auto const table = one_list();
  scene const s{1, 2, 3, 4, 5};
  std::array<std::uint8_t, n_experts> const hops{0, 0, 1, 0, 2, 0};
  auto const kappa = [&](buddy::q16 q) {
    return coactivation{.table = table.ref(), .search_limit = 16, .kappa_q16 = q, .hops = {hops.data(), n_experts}};
  };
  // Psi = q (1 - kappa hop), hops 4: 2, 2: 1, 5: 0, 3: 0.
  //   kappa 1/4: .5 x .5 = .25;  .25 x .75 = .1875;  .125; .125   -> 4
  //   kappa 3/8: .5 x .25 = .125; .25 x .625 = .15625; .125; .125 -> 2
  //   kappa 1/2: .5 x 0 = 0;     .25 x .5 = .125; .125 (tie)      -> 2, the earlier
  //   kappa 1:   0; 0; .125; .125 (tie)                           -> 5, the earlier
  CHECK(s.ask(kappa(0x4000)).expert == 4);
  CHECK(s.ask(kappa(0x6000)).expert == 2);
  CHECK(s.ask(kappa(0x8000)).expert == 2);
  CHECK(s.ask(kappa(0x10000)).expert == 5);
  // A far expert is still better than none; the factor stops at 0 and does not wrap.
  CHECK(scene{4}.ask(kappa(0x20000)).expert == 4);
  // Without distances the penalty has nothing to act on.
  CHECK(s.ask({.table = table.ref(), .search_limit = 16, .kappa_q16 = 0x10000}).expert == 4);
}

TEST_CASE("coactivation multiplies both factors", "[golden][coactivation]") {
  // eta 16, kappa 1/2, hops 2: 1 else 0: 4: .5 x 2 = 1; 2: .25 x 5 x .5 = .625 -> 4, although eta alone says 2.
  auto const table = one_list();
  std::array<std::uint8_t, n_experts> const hops{0, 0, 1, 0, 0, 0};
  coactivation const both{
      .table = table.ref(), .search_limit = 16, .eta_q16 = 16U << 16, .kappa_q16 = 0x8000, .hops = {hops.data(), 6}};
  CHECK(scene{1, 2, 3, 4, 5}.ask(both).expert == 4);
}

TEST_CASE("coactivation decides at compile time too", "[golden][coactivation]") {
  constexpr auto answer = [] {
    std::array<std::uint16_t, 2> const list{1, 0};
    std::array<buddy::q16, 2> const q{65536, 0};
    std::array<std::uint16_t, 2> const lengths{1, 0};
    buddy::buddy_table_ref const table{{list.data(), 2}, {q.data(), 2}, {lengths.data(), 2}, 2, 1};
    std::array<buddy::slot_id, 2> const slots{buddy::no_slot, buddy::slot_id{0}};
    std::array<std::uint16_t, 1> const experts{0};
    buddy::expert_set taken{2};
    taken.insert(0);
    return coactivation{table}.select({0, 0, {experts.data(), 1}, {}, {}}, {slots.data(), 2}, taken, 0);
  }();
  static_assert(answer.found);
  CHECK(answer.expert == 1);
}
