// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "property/policy_run.hpp"

#include <buddy/policies/selection/cache_prior.hpp>
#include <buddy/policies/selection/coactivation.hpp>
#include <buddy/policies/selection/expected_error.hpp>
#include <buddy/policies/selection/live_score.hpp>
#include <buddy/policies/selection/none.hpp>
#include <buddy/policies/selection/output_similarity.hpp>
#include <buddy/policies/selection/precision_by_mass.hpp>
#include <buddy/policies/selection/random_resident.hpp>
#include <buddy/policies/selection/rank_window.hpp>
#include <buddy/policies/selection/router_similarity.hpp>
#include <buddy/policies/selection/zero_fill.hpp>
#include <buddy/testing/archetypes.hpp>
#include <buddy/testing/selector_laws.hpp>

using buddy::expert_set;
using buddy::model_shape;
using buddy::slot_id;
using buddy::stand_in;
using buddy::token_view;
using buddy::view;
using buddy::testing::broken_selector_law;

// Every shipped selector that needs no table is listed here; a new one that is not is a review finding.
TEMPLATE_TEST_CASE("a buddy selector keeps the laws", "[conformance][buddy_selector]", buddy::selection::none,
                   buddy::selection::zero_fill, buddy::selection::random_resident, buddy::selection::live_score,
                   buddy::selection::cache_prior, buddy::selection::rank_window, buddy::selection::precision_by_mass,
                   buddy::testing::archetypes::selector) {
  auto const shape =
      GENERATE(model_shape{1, 1, 1, 1}, model_shape{2, 8, 2, 1}, model_shape{3, 64, 6, 1}, model_shape{1, 1024, 32, 1});
  auto const seed = GENERATE(1U, 2U, 3U);
  CHECK(broken_selector_law(TestType{}, shape, seed) == "");
}

// And those that need one, here.
TEMPLATE_TEST_CASE("a buddy selector with a table keeps the laws", "[conformance][buddy_selector]",
                   buddy::selection::coactivation, buddy::selection::router_similarity,
                   buddy::selection::output_similarity) {
  model_shape const shape{3, 64, 6, 1};
  auto const table = neighbours(shape);
  auto const seed = GENERATE(1U, 2U, 3U);
  CHECK(broken_selector_law(TestType{table.ref()}, shape, seed) == "");
}

TEST_CASE("the selector of expected losses keeps the laws, with buddies and without", "[conformance][buddy_selector]") {
  model_shape const shape{3, 64, 6, 1};
  auto const seed = GENERATE(1U, 2U, 3U);
  CHECK(broken_selector_law(buddy::selection::expected_error{losses(shape), {}}, shape, seed) == "");
  buddy::expected_errors const plain(shape, 3000);
  CHECK(broken_selector_law(buddy::selection::expected_error{plain.ref(), {}}, shape, seed) == "");
}

namespace {

// One selector for each law, breaking it. Each starts from a choice that keeps them.
stand_in lawful(token_view const& token, view<slot_id const> slot_of, expert_set const& taken, std::uint32_t s) {
  return buddy::selection::random_resident{}.select(token, slot_of, taken, s);
}

struct fetches {
  static constexpr std::string_view name = "fetches";
  stand_in select(token_view const&, view<slot_id const>, expert_set const&, std::uint32_t) const noexcept {
    return {true, buddy::resolution::fetch, 0, 0};
  }
};

struct ignores_residency {
  static constexpr std::string_view name = "ignores_residency";
  stand_in select(token_view const& token, view<slot_id const>, expert_set const& taken,
                  std::uint32_t s) const noexcept {
    slot_id everywhere[64] = {};
    return lawful(token, {everywhere, 64}, taken, s);
  }
};

struct ignores_taken {
  static constexpr std::string_view name = "ignores_taken";
  stand_in select(token_view const& token, view<slot_id const> slot_of, expert_set const&,
                  std::uint32_t s) const noexcept {
    return lawful(token, slot_of, expert_set(slot_of.size), s);
  }
};

struct remembers {
  static constexpr std::string_view name = "remembers";
  stand_in select(token_view const& token, view<slot_id const> slot_of, expert_set const& taken,
                  std::uint32_t) const noexcept {
    return lawful(token, slot_of, taken, asked++);
  }
  mutable std::uint32_t asked = 0;
};

}  // namespace

TEST_CASE("the selector laws catch who breaks them", "[conformance][buddy_selector]") {
  model_shape const shape{3, 64, 6, 1};
  CHECK(broken_selector_law(fetches{}, shape, 1) ==
        "a stand-in must be a buddy, a surrogate, a low-precision copy or a drop");
  CHECK(broken_selector_law(ignores_residency{}, shape, 1) == "a buddy must be resident and not taken");
  CHECK(broken_selector_law(ignores_taken{}, shape, 1) == "a buddy must be resident and not taken");
  CHECK(broken_selector_law(remembers{}, shape, 1) == "equal inputs must give equal answers");
}
