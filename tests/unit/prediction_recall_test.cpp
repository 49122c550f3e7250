// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/prediction_recall.hpp>

#include <array>

using buddy::prediction_recall;
using buddy::recall_budget;

TEST_CASE("recall is counted by budget, with and without gate mass", "[unit][prediction_recall]") {
  prediction_recall recall(buddy::model_shape{2, 16, 2, 1});
  CHECK(recall.width() == 8);
  std::array<std::uint16_t, 2> const experts{3, 7};
  std::array<float, 2> const weights{0.75F, 0.25F};
  std::array<std::uint16_t, 5> const named{7, 1, 0, 3, 5};
  recall.count(1, {named.data(), 5}, {{experts.data(), 2}, {weights.data(), 2}, {}, 1});

  // of 2 slots the best 2 hold expert 7 (a quarter of the mass), the best 4 both
  auto const& of = recall.of_layer(1);
  CHECK(of.recall(recall_budget::top_k) == 0.5);
  CHECK(of.mass_recall(recall_budget::top_k) == 0.25);
  CHECK(of.recall(recall_budget::twice) == 1.0);
  CHECK(of.mass_recall(recall_budget::twice) == 1.0);
  CHECK(of.recall(recall_budget::four_times) == 1.0);
  CHECK(recall.of_layer(0).recall(recall_budget::top_k) == 0.0);

  recall.count(0, {}, {{experts.data(), 2}, {}, {}, 1});  // nothing named, no weights
  CHECK(recall.of_layer(0).slots == 2);
  CHECK(recall.of_layer(0).mass == 0);
  CHECK(recall.total().recall(recall_budget::top_k) == 0.25);
  CHECK(recall.total().mass_recall(recall_budget::top_k) == 0.25);
}

TEST_CASE("the slots of a batch count one by one", "[unit][prediction_recall]") {
  prediction_recall recall(buddy::model_shape{1, 3, 1, 1});
  CHECK(recall.width() == 3);
  std::array<std::uint16_t, 4> const experts{2, 0, 2, 1};
  std::array<std::uint16_t, 2> const named{2, 0};
  recall.count(0, {named.data(), 2}, {{experts.data(), 4}, {}, {}, 4});
  CHECK(recall.total().recall(recall_budget::top_k) == 0.5);
  CHECK(recall.total().recall(recall_budget::twice) == 0.75);
}
