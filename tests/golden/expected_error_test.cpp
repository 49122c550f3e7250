// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/expected_error.hpp>

#include <cstdint>
#include <utility>

namespace {

constexpr buddy::model_shape shape{2, 4, 2, 100};

}  // namespace

TEST_CASE("the loss of a slot is the full loss times its share squared, rounded up", "[golden][expected_error]") {
  CHECK(buddy::loss_ub(1000, buddy::q16_one) == 1000);
  CHECK(buddy::loss_ub(1000, 0) == 0);
  // A share of 1/2: 1000 / 4 = 250. Of 1/4: 1000 / 16 = 62.5, up to 63. Of 1/65536: 1000 / 2^32, up to 1.
  CHECK(buddy::loss_ub(1000, 32768) == 250);
  CHECK(buddy::loss_ub(1000, 16384) == 63);
  CHECK(buddy::loss_ub(1000, 1) == 1);
  CHECK(buddy::loss_ub(0, buddy::q16_one) == 0);
}

TEST_CASE("the loss of a slot does not overflow for any input", "[golden][expected_error]") {
  // m = 2^32 - 1: m x m^2 / 2^32 = m x (2^32 - 2) + m x 1 / 2^32, up to m x (2^32 - 2) + 1.
  constexpr std::uint64_t m = 0xffff'ffffU;
  CHECK(buddy::loss_ub(0xffff'ffffU, 0xffff'ffffU) == m * 0xffff'fffeU + 1);
  CHECK(buddy::loss_ub(0xffff'ffffU, buddy::q16_one) == m);
}

TEST_CASE("expected_errors drops every expert at the prior until it is told otherwise", "[golden][expected_error]") {
  buddy::expected_errors errors{shape, 500};
  auto const unseen = errors.ref().stand_in_of({1, 3});
  CHECK(unseen.how == buddy::resolution::drop);
  CHECK(unseen.full_loss_ub == 500);
  CHECK(errors.confidence({1, 3}) == 0);

  errors.set_stand_in({1, 3}, buddy::resolution::surrogate, 70, 12);
  auto const seen = errors.ref().stand_in_of({1, 3});
  CHECK(seen.how == buddy::resolution::surrogate);
  CHECK(seen.full_loss_ub == 70);
  CHECK(errors.confidence({1, 3}) == 12);
  CHECK(errors.ref().stand_in_of({0, 3}).full_loss_ub == 500);  // the same index of another layer
}

TEST_CASE("expected_errors gives experts without samples their layer's prior", "[golden][expected_error]") {
  buddy::expected_errors errors{shape, 500};
  errors.set_stand_in({0, 0}, buddy::resolution::low_precision, 30, 5);
  errors.set_stand_in({0, 1}, buddy::resolution::low_precision, 90, 5);
  errors.set_stand_in({0, 2}, buddy::resolution::low_precision, 1, 0);  // never seen: 1 is nobody's measurement
  CHECK(errors.ref().stand_in_of({0, 2}).full_loss_ub == 500);
  CHECK(errors.ref().stand_in_of({0, 2}).how == buddy::resolution::low_precision);

  errors.set_prior_to_worst();  // layer 0: max(30, 90); nobody of layer 1 was seen
  CHECK(errors.ref().stand_in_of({0, 2}).full_loss_ub == 90);
  CHECK(errors.ref().stand_in_of({0, 0}).full_loss_ub == 30);
  CHECK(errors.prior(0) == 90);
  CHECK(errors.ref().stand_in_of({1, 0}).full_loss_ub == 500);

  errors.set_prior(1, 7);
  CHECK(errors.ref().stand_in_of({1, 0}).full_loss_ub == 7);
  CHECK(errors.ref().stand_in_of({0, 2}).full_loss_ub == 90);
}

TEST_CASE("expected_errors knows a pair only in the direction that was measured", "[golden][expected_error]") {
  buddy::expected_errors errors{shape};
  CHECK_FALSE(errors.ref().has_buddies());
  errors.add_buddies();
  REQUIRE(errors.ref().has_buddies());
  errors.set_buddy({1, 2}, 0, {40, buddy::q16_one / 4});
  auto const ref = errors.ref();
  CHECK(ref.buddy_loss({1, 2}, 0).known());
  CHECK(ref.buddy_loss({1, 2}, 0).full_loss_ub == 40);
  CHECK(ref.buddy_loss({1, 2}, 0).scale_q16 == 16384);
  CHECK_FALSE(ref.buddy_loss({1, 0}, 2).known());
  CHECK_FALSE(ref.buddy_loss({0, 2}, 0).known());
}

TEST_CASE("expected_errors fits its own model and no other", "[golden][expected_error]") {
  buddy::expected_errors errors{shape};
  CHECK(errors.ref().fits(shape));
  errors.add_buddies();
  CHECK(errors.ref().fits(shape));
  CHECK_FALSE(errors.ref().fits({2, 5, 2, 100}));
  CHECK_FALSE(errors.ref().fits({3, 4, 2, 100}));
  auto cut = errors.ref();
  cut.buddy_scales_q16.size -= 1;
  CHECK_FALSE(cut.fits(shape));
  auto const moved = std::move(errors);
  CHECK(moved.ref().fits(shape));
}

TEST_CASE("expected_errors refuses what cannot be resident for every expert", "[golden][expected_error]") {
  buddy::expected_errors errors{shape};
  for (auto const how :
       {buddy::resolution::own, buddy::resolution::buddy, buddy::resolution::host, buddy::resolution::fetch})
    CHECK_THROWS_AS(errors.set_stand_in({0, 0}, how, 1, 1), buddy::config_error);
  CHECK_THROWS_AS((buddy::expected_errors{{0, 4, 2, 100}}), buddy::config_error);
  // 4096 x 1024 x 1024 = 2^32.
  CHECK_THROWS_AS((buddy::expected_errors{{4096, 1024, 2, 1}}), buddy::config_error);
}
