// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/policies/sensitivity/adapmoe_gate.hpp>
#include <buddy/policies/sensitivity/always.hpp>
#include <buddy/policies/sensitivity/drop_cold.hpp>
#include <buddy/policies/sensitivity/entropy_gate.hpp>
#include <buddy/policies/sensitivity/keep_top.hpp>
#include <buddy/policies/sensitivity/margin_gate.hpp>
#include <buddy/policies/sensitivity/never.hpp>
#include <buddy/policies/sensitivity/score_gate.hpp>
#include <buddy/policies/sensitivity/ser_gate.hpp>
#include <buddy/policies/sensitivity/share_gate.hpp>
#include <buddy/policies/sensitivity/weight_gate.hpp>
#include <buddy/testing/archetypes.hpp>
#include <buddy/testing/sensitivity_laws.hpp>

#include <array>

using buddy::model_shape;
using buddy::slot_mask;
using buddy::token_view;
using buddy::sensitivity::entropy_gate;
using buddy::testing::broken_sensitivity_law;

// Every shipped estimator is listed here; a new one that is not is a review finding.
TEMPLATE_TEST_CASE("a sensitivity estimator keeps the laws", "[conformance][sensitivity_estimator]",
                   buddy::sensitivity::never, buddy::sensitivity::always, buddy::sensitivity::entropy_gate,
                   buddy::sensitivity::margin_gate, buddy::sensitivity::weight_gate, buddy::sensitivity::keep_top,
                   buddy::sensitivity::drop_cold, buddy::sensitivity::ser_gate, buddy::sensitivity::adapmoe_gate,
                   buddy::sensitivity::score_gate, buddy::sensitivity::share_gate,
                   buddy::testing::archetypes::sensitivity) {
  auto const top_k = GENERATE(std::uint16_t{1}, std::uint16_t{2}, std::uint16_t{6}, std::uint16_t{32});
  auto const seed = GENERATE(1U, 2U, 3U);
  CHECK(broken_sensitivity_law(TestType{}, model_shape{3, 64, top_k, 1}, seed) == "");
}

TEST_CASE("entropy_gate keeps the laws with every option", "[conformance][sensitivity_estimator]") {
  auto const temperature = GENERATE(0.8, 1.2, 8.0);
  std::array<buddy::q16, 3> const tau{30000, 50000, 65000};
  model_shape const shape{3, 64, 6, 1};
  CHECK(broken_sensitivity_law(entropy_gate::fixed(0.8).with_temperature(temperature), shape, 1) == "");
  CHECK(broken_sensitivity_law(entropy_gate::per_layer({tau.data(), 3}).with_margin(0.3), shape, 2) == "");
}

TEST_CASE("gates by rank and weight keep the laws at settings that cut through the token",
          "[conformance][sensitivity_estimator]") {
  std::array<buddy::q16, 3> const weights{1000, 65536, 300000};
  model_shape const shape{3, 64, 6, 1};
  buddy::sensitivity::adapmoe_gate adapmoe = buddy::sensitivity::adapmoe_gate::fixed(0.1);
  adapmoe.layer_weights = {weights.data(), 3};
  CHECK(broken_sensitivity_law(adapmoe, shape, 1) == "");
  CHECK(broken_sensitivity_law(buddy::sensitivity::keep_top{3}, shape, 2) == "");
  CHECK(broken_sensitivity_law(buddy::sensitivity::ser_gate::fixed(2, 0.7), shape, 3) == "");
  CHECK(broken_sensitivity_law(buddy::sensitivity::drop_cold::fixed(1.2), shape, 4) == "");
  CHECK(broken_sensitivity_law(buddy::sensitivity::score_gate::fixed(0.5), shape, 5) == "");
  CHECK(broken_sensitivity_law(buddy::sensitivity::share_gate::fixed(0.4), shape, 6) == "");
}

namespace {

// One estimator for each law, breaking it.
struct too_many_bits {
  static constexpr std::string_view name = "too_many_bits";
  constexpr slot_mask replaceable(token_view const&) const noexcept { return ~slot_mask{0}; }
};

struct counts_its_calls {
  static constexpr std::string_view name = "counts_its_calls";
  static inline slot_mask calls = 0;
  slot_mask replaceable(token_view const&) const noexcept { return ++calls % 2; }
};

struct spares_the_first_slot {
  static constexpr std::string_view name = "spares_the_first_slot";
  constexpr slot_mask replaceable(token_view const& token) const noexcept {
    return buddy::sensitivity::always{}.replaceable(token) & ~slot_mask{1};
  }
};

}  // namespace

TEST_CASE("the sensitivity laws catch who breaks them", "[conformance][sensitivity_estimator]") {
  model_shape const shape{3, 64, 6, 1};
  CHECK(broken_sensitivity_law(too_many_bits{}, shape, 1) == "only the lowest top_k bits may be set");
  CHECK(broken_sensitivity_law(counts_its_calls{}, shape, 1) == "equal tokens must give equal masks");
  CHECK(broken_sensitivity_law(spares_the_first_slot{}, shape, 1) == "permuting the slots must permute the mask");
}
