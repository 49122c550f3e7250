// SPDX-License-Identifier: Apache-2.0
// Where experts lie, and what one rank decides about those that lie elsewhere: worked out by hand.
#include "torch/torch_catch.hpp"
#include "torch/words.hpp"

#include <buddy/error.hpp>

#include <buddy_torch/parallel/hop_decider.hpp>

#include <cstdint>
#include <vector>

using namespace buddy::torch;

namespace {

constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = 8, .top_k = 3, .expert_bytes = 1};

/// One token that asks for 0, 2 and 6 with shares .5, .3 and .2. Scores: the router liked 3 and 5 next best.
routed_batch batch() {
  routed_batch b{1, {0, 2, 6}, {0.5F, 0.3F, 0.2F}, {}, {}};
  b.scores = at::tensor({0.25F, 0.05F, 0.15F, 0.14F, 0.02F, 0.16F, 0.1F, 0.13F}).view({1, 8});
  return b;
}

/// Four ranks, two a host: rank 0 has experts 0 and 1, its neighbour 2 and 3, the other host 4 to 7.
hop_decider decider(hop_config const& config) { return {{shape, 4}, {0, 4, 2}, config}; }

using ids = std::vector<int>;

ids experts_of(buddy::view<hop_assignment const> row) {
  ids experts;
  for (auto const& a : row) experts.push_back(a.expert);
  return experts;
}

}  // namespace

TEST_CASE("experts are spread evenly, hot ones get replicas", "[torch][placement]") {
  expert_placement p{shape, 3};  // floor(e * 3 / 8): 0 0 0 1 1 1 2 2
  CHECK(p.held_by(0).size() == 3);
  CHECK(p.held_by(2).size() == 2);
  // Counts by id: the hottest are 7 (9), then 1 and 4 (both 5; the lower id first). Rank 0 owns 1, so its second is 4;
  // rank 1 owns 4 and gets 7 and 1; rank 2 owns 7 and gets 1 and 4.
  std::vector<std::uint64_t> const activations{0, 5, 0, 1, 5, 0, 2, 9};
  p.replicate_hottest(activations, 2);
  CHECK(p.holders({0, 7}) == std::vector<std::uint16_t>{2, 0, 1});
  CHECK(p.holders({0, 4}) == std::vector<std::uint16_t>{1, 0, 2});
  CHECK(p.holders({0, 1}) == std::vector<std::uint16_t>{0, 1, 2});
  CHECK(p.holders({0, 6}) == std::vector<std::uint16_t>{2});
  CHECK_THROWS_AS(p.replicate({0, 0}, 3), buddy::config_error);
  CHECK_THROWS_AS(p.replicate_hottest({activations.data(), 7}, 1), buddy::config_error);
}

TEST_CASE("a rank asks the nearest holder, and of two the one that comes after it", "[torch][placement]") {
  expert_placement p{shape, 4};
  p.replicate({0, 0}, 3);  // owner 0, replica 3; two ranks a host: {0, 1}, {2, 3}
  CHECK(nearest_holders{p, {2, 4, 2}}.rank_of({0, 0}) == 3);
  CHECK(nearest_holders{p, {1, 4, 2}}.rank_of({0, 0}) == 0);
  // With hosts of one rank both are two hops from 1 and from 2; the next after 1 is 3, the next after 2 is 3.
  CHECK(nearest_holders{p, {1, 4, 1}}.rank_of({0, 0}) == 3);
  CHECK(nearest_holders{p, {0, 4, 1}}.rank_of({0, 0}) == 0);
  nearest_holders const from_one{p, {1, 4, 2}};
  auto const seen = from_one.hops(0);
  CHECK(ids(seen.begin(), seen.end()) == ids{1, 1, 0, 0, 2, 2, 2, 2});
}

TEST_CASE("without a budget every expert is computed where it lies", "[torch][placement]") {
  auto d = decider({});
  auto const row = d.decide(0, batch());
  CHECK(experts_of(row) == ids{0, 2, 6});
  CHECK((row[0].rank == 0 && row[1].rank == 1 && row[2].rank == 3));
  CHECK((row[0].hop == 0 && row[1].hop == 1 && row[2].hop == 2));
  CHECK(row[2].weight == 0.2F);
}

TEST_CASE("a stand-in that is nearer saves the trip of a light expert", "[torch][placement]") {
  // 6 (share .2, two hops) may be replaced. Nearer and free: 1 (here, .05) and 3 (next door, .14). Without a penalty 3
  // wins; with kappa .7 it counts .042, and 1 wins.
  hop_config config{.max_share = {0.0, 0.25}};
  auto next_door = decider(config);
  CHECK(experts_of(next_door.decide(0, batch())) == ids{0, 2, 3});
  config.kappa = 0.7;
  auto here = decider(config);
  auto const row = here.decide(0, batch());
  CHECK(experts_of(row) == ids{0, 2, 1});
  CHECK((row[2].hop == 0 && row[2].rank == 0 && row[2].replaced && row[2].weight == 0.2F));
  // The budget of one hop is asked for 2 (share .3): only what is here can stand in, and 6 then finds 3.
  config = {.kappa = 0.7, .max_share = {0.35, 0.25}};
  auto both = decider(config);
  CHECK(experts_of(both.decide(0, batch())) == ids{0, 1, 3});
}

TEST_CASE("a stand-in takes its own weight when asked", "[torch][placement]") {
  auto d = decider({.max_share = {0.0, 0.25}, .weights = buddy::weight_mode::own});
  // .14 x (.2 / .1): the stand-in's score in the scale of the missing expert's weight.
  CHECK(d.decide(0, batch())[2].weight == Approx(0.28F));
}

TEST_CASE("the delta gate of a rank closes when most of its batch is elsewhere", "[torch][placement]") {
  // Two of three distinct experts are elsewhere: .667.
  auto closed = decider({.max_share = {1.0, 1.0}, .beta = 0.6});
  CHECK(experts_of(closed.decide(0, batch())) == ids{0, 2, 6});
  auto open = decider({.max_share = {1.0, 1.0}, .beta = 0.7});
  CHECK(experts_of(open.decide(0, batch())) != ids{0, 2, 6});
}

TEST_CASE("rho bounds the stand-ins of a token", "[torch][placement]") {
  auto d = decider({.max_share = {1.0, 1.0}, .rho = 1});
  CHECK(experts_of(d.decide(0, batch())) == ids{0, 1, 6});  // 2 comes first in the router's order
}

TEST_CASE("an error of the placement names the member", "[torch][placement]") {
  CHECK(says(words_of([] { decider({.kappa = 1.5}); }), "hop_config: kappa must be in [0, 1]"));
  CHECK(says(words_of([] { decider({.max_share = {0.0, -1.0}}); }), "hop_config: max_share must be in [0, 1]"));
  CHECK(says(words_of([] { decider({.beta = 2.0}); }), "hop_config: beta must be in [0, 1]"));
  CHECK(says(words_of([] { hop_decider({shape, 4}, {4, 4, 1}, {}); }), "rank_topology: rank must be below n_ranks"));
}
