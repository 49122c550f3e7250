// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/neighbours.hpp>
#include <buddy/policies/selection/output_similarity.hpp>
#include <buddy/policies/selection/router_similarity.hpp>

#include <array>
#include <limits>
#include <vector>

using buddy::similarity_scale;

namespace {

constexpr buddy::model_shape shape{1, 4, 2, 1};

// Row 0: 1 and 3 tie, 2 is opposite. Row 3 was never seen.
std::vector<float> const cosines{1, .5F, -1, .5F, .5F, 1, 0, 0, -1, 0, 1, .25F, .5F, 0, .25F, 1};
std::vector<std::uint64_t> const seen{3, 2, 1, 0};

std::vector<std::uint16_t> ids(buddy::buddy_list const& list) { return {list.experts.begin(), list.experts.end()}; }

/// A token routed to expert 0, which is missing.
template <class S>
buddy::stand_in ask(S const& selector, std::vector<std::uint16_t> const& resident) {
  std::array<std::uint16_t, 1> const experts{0};
  std::array<buddy::slot_id, 4> slot_of{};
  slot_of.fill(buddy::no_slot);
  for (auto const e : resident) slot_of[e] = buddy::slot_id{e};
  buddy::expert_set taken{4};
  taken.insert(0);
  return selector.select({0, 0, {experts.data(), 1}, {}, {}}, {slot_of.data(), 4}, taken, 0);
}

}  // namespace

TEST_CASE("neighbours are listed by falling similarity, ties by rising id", "[golden][neighbours]") {
  auto const table = buddy::build_neighbours(shape, cosines, similarity_scale::cosine, seen);
  CHECK(ids(table.of({0, 0})) == std::vector<std::uint16_t>{1, 3, 2});
  CHECK(ids(table.of({0, 2})) == std::vector<std::uint16_t>{3, 1, 0});
  // (1 + .5) / 2 = 3/4, (1 - 1) / 2 = 0
  CHECK(table.of({0, 0}).similarities[0] == 49152);
  CHECK(table.of({0, 0}).similarities[2] == 0);
}

TEST_CASE("an expert that calibration never saw has no neighbours, but is one", "[golden][neighbours]") {
  auto const table = buddy::build_neighbours(shape, cosines, similarity_scale::cosine, seen);
  CHECK(table.of({0, 3}).experts.empty());
  CHECK(buddy::build_neighbours(shape, cosines, similarity_scale::cosine, {}).of({0, 3}).experts.size == 3);
}

TEST_CASE("a share stays as it is and is held to [0, 1]", "[golden][neighbours]") {
  auto const table = buddy::build_neighbours(shape, cosines, similarity_scale::unit, seen, 2);
  CHECK(table.of({0, 0}).similarities[0] == 32768);
  CHECK(table.of({0, 0}).experts.size == 2);  // no longer than asked for
  CHECK(buddy::build_neighbours(shape, cosines, similarity_scale::unit, seen).of({0, 0}).similarities[2] == 0);
}

TEST_CASE("neighbours refuse a matrix that is not the model's", "[golden][neighbours]") {
  auto broken = cosines;
  broken[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(buddy::build_neighbours(shape, broken, similarity_scale::unit, seen), buddy::config_error);
  CHECK_THROWS_AS(buddy::build_neighbours(shape, {1, 2, 3}, similarity_scale::unit, seen), buddy::config_error);
  CHECK_THROWS_AS(buddy::build_neighbours(shape, cosines, similarity_scale::unit, {1}), buddy::config_error);
  CHECK_THROWS_AS(buddy::build_neighbours(shape, cosines, similarity_scale::unit, seen, 0), buddy::config_error);
}

TEST_CASE("a profile without the table says which is missing", "[golden][neighbours]") {
  buddy::profile p;
  p.shape = shape;
  p.activations = seen;
  CHECK_THROWS_AS(buddy::router_neighbours(p), buddy::config_error);
  CHECK_THROWS_AS(buddy::output_neighbours(p, buddy::output_kind::cka), buddy::config_error);
  p.router_cosine = cosines;
  CHECK(ids(buddy::router_neighbours(p).of({0, 0})) == std::vector<std::uint16_t>{1, 3, 2});
  p.output_cosine = cosines;
  p.output_cka = p.output_frobenius = {1, .1F, .9F, .5F, .1F, 1, 0, 0, .9F, 0, 1, 0, .5F, 0, 0, 1};
  CHECK(buddy::output_neighbours(p, buddy::output_kind::cosine).of({0, 0}).similarities[0] == 49152);
  CHECK(ids(buddy::output_neighbours(p, buddy::output_kind::cka).of({0, 0})) == std::vector<std::uint16_t>{2, 3, 1});
}

TEST_CASE("the nearest resident neighbour stands in", "[golden][router_similarity]") {
  auto const table = buddy::build_neighbours(shape, cosines, similarity_scale::cosine, seen);
  buddy::selection::router_similarity selector{table.ref()};
  auto const found = ask(selector, {2, 3});
  CHECK(found.expert == 3);
  CHECK(found.rank == 1);
  selector.search_limit = 1;  // the nearest or none
  CHECK_FALSE(ask(selector, {2, 3}).found);
  CHECK(ask(selector, {1, 2, 3}).expert == 1);
  CHECK(selector.fits(shape));
  CHECK_FALSE(selector.fits({1, 5, 2, 1}));
}

TEST_CASE("output_similarity keeps an expert that nothing resident is like", "[golden][output_similarity]") {
  auto const table = buddy::build_neighbours(shape, cosines, similarity_scale::cosine, seen);
  buddy::selection::output_similarity selector{table.ref()};
  CHECK(ask(selector, {2}).expert == 2);  // similarity 0 reaches a threshold of 0
  selector.threshold_q16 = 1;
  CHECK_FALSE(ask(selector, {2}).found);
  selector.threshold_q16 = 49152;
  CHECK(ask(selector, {3}).expert == 3);  // 3/4 reaches 3/4
  selector.threshold_q16 = 49153;
  CHECK_FALSE(ask(selector, {3}).found);
}
