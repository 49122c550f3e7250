// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/byte_split.hpp>
#include <buddy/expected_error.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/stand_in_planner.hpp>

#include <cstdint>
#include <vector>

namespace {

/// One layer, three experts, one a token; every record has 100 bytes.
constexpr buddy::model_shape shape{1, 3, 1, 100};

/// Asks for 0 1 0 2 0 1.
buddy::routing_trace trace() {
  buddy::routing_trace t;
  t.n_layers = 1;
  t.n_experts = 3;
  t.top_k = 1;
  t.experts = {0, 1, 0, 2, 0, 1};
  t.weights.assign(6, 0.5F);  // the only one of its token: a share of 1
  t.sequence_lengths = {6};
  return t;
}

/// A drop costs one bit, whoever is dropped; a copy a tenth.
buddy::expected_errors losses(buddy::resolution how, std::uint32_t loss_ub) {
  buddy::expected_errors e{shape};
  for (std::uint16_t i = 0; i != 3; ++i) e.set_stand_in({0, i}, how, loss_ub, 1);
  return e;
}

struct planned {
  buddy::expected_errors drops = losses(buddy::resolution::drop, 1'000'000);
  buddy::expected_errors copies = losses(buddy::resolution::low_precision, 100'000);
  buddy::stand_in_planner planner{shape, {{0, drops.ref()}, {20, copies.ref()}}};

  planned() { planner.observe(trace()); }
};

}  // namespace

TEST_CASE("split_bytes takes the best combination, and the greedy one when there are too many",
          "[golden][byte_split]") {
  // Two layers of (0 bytes, 10), (3, 4), (4, 0). Within 7: (4, 0) and (3, 4) lose 4, nothing loses less.
  std::vector<buddy::byte_choice> const layer{{0, 10.0, 7}, {3, 4.0, 8}, {4, 0.0, 9}, {4, 1.0, 6}};
  auto const best = buddy::split_bytes({layer, layer}, 7);
  CHECK(best.is_exact);
  CHECK(best.loss == 4.0);
  CHECK(best.bytes == 7);
  CHECK(best.ids == std::vector<std::uint32_t>{8, 9});
  // (3, 4) is above the line from (0, 10) to (4, 0), so greedy skips it: one layer gets 4 bytes, the other nothing.
  auto const greedy = buddy::split_bytes({layer, layer}, 7, 1);
  CHECK_FALSE(greedy.is_exact);
  CHECK(greedy.loss == 10.0);
  CHECK(greedy.bytes == 4);
  CHECK(greedy.ids == std::vector<std::uint32_t>{9, 7});
  CHECK_THROWS_AS(buddy::split_bytes({{{3, 0.0, 0}}, {{5, 0.0, 0}}}, 7), buddy::config_error);
  CHECK_THROWS_AS(buddy::split_bytes({{}}, 7), buddy::config_error);
}

TEST_CASE("stand_in_planner weighs slots against stand-ins", "[golden][stand_in_planner]") {
  planned const p;
  // Places in the LRU stack: cold, cold, 1, cold, 1, 2. One slot misses all six, two slots all but those at 1: four,
  // three slots the three cold ones.
  // 160 bytes: one slot and copies of 60: six misses at .1 = .6 bits in 6 tokens. One slot and nothing: 6 bits.
  auto const tight = p.planner.plan(160);
  CHECK(tight.layers[0].offer == 1);
  CHECK(tight.layers[0].slots == 1);
  CHECK(tight.bytes == 160);
  CHECK(tight.loss_bits > 0.0999);
  CHECK(tight.loss_bits < 0.1001);
  CHECK(tight.is_exact);
  // 260 bytes: two slots and copies lose .4 bits in 6 tokens, two slots without copies 4.
  auto const wide = p.planner.plan(260);
  CHECK(wide.layers[0].offer == 1);
  CHECK(wide.layers[0].slots == 2);
  CHECK(wide.loss_bits * 6 > 0.3999);
  CHECK(wide.loss_bits * 6 < 0.4001);
  // 159 bytes do not hold the copies.
  CHECK(p.planner.plan(159).layers[0].offer == 0);
  CHECK_THROWS_AS(p.planner.plan(99), buddy::config_error);
}

TEST_CASE("stand_in_planner fetches what would lose most, as far as it may", "[golden][stand_in_planner]") {
  planned const p;
  // All six misses of one slot cost the same: all are fetched or none. With every slot fetched nothing is lost.
  auto const all = p.planner.plan(160, 1.0);
  CHECK(all.loss_bits == 0.0);
  auto const half = p.planner.plan(160, 0.5);
  CHECK(half.fetched_share <= 0.5);
  CHECK(half.loss_bits > 0.0999);
}

TEST_CASE("stand_in_planner refuses other models and an empty past", "[golden][stand_in_planner]") {
  auto const drops = losses(buddy::resolution::drop, 1);
  CHECK_THROWS_AS((buddy::stand_in_planner{shape, {}}), buddy::config_error);
  CHECK_THROWS_AS((buddy::stand_in_planner{{1, 4, 1, 100}, {{0, drops.ref()}}}), buddy::config_error);
  buddy::stand_in_planner planner{shape, {{0, drops.ref()}}};
  CHECK_THROWS_AS(planner.plan(1000), buddy::config_error);
  auto other = trace();
  other.n_experts = 4;
  CHECK_THROWS_AS(planner.observe(other), buddy::config_error);
  auto weightless = trace();
  weightless.weights.clear();
  CHECK_THROWS_AS(planner.observe(weightless), buddy::config_error);
}
