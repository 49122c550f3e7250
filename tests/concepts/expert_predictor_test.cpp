// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/testing/archetypes.hpp>

namespace {

using least = buddy::testing::archetypes::predictor;
using ids = buddy::view<std::uint16_t>;

// One type for each requirement, missing only that one.
struct no_name {
  void observe(std::uint16_t, buddy::routing const&) noexcept {}
  std::uint32_t predict(std::uint16_t, ids) noexcept { return 0; }
};
struct named : no_name {
  static constexpr std::string_view name = "named";
};
struct cannot_move : least {
  using least::least;
  cannot_move(cannot_move&&) = delete;
};
struct observe_may_throw : least {
  using least::least;
  void observe(std::uint16_t, buddy::routing const&) {}
};
struct predict_counts_in_ints : least {
  using least::least;
  int predict(std::uint16_t, ids) noexcept { return 0; }
};
struct predict_for_no_layer : least {
  using least::least;
  std::uint32_t predict(ids) noexcept { return 0; }
};

static_assert(buddy::expert_predictor<named>);
static_assert(!buddy::expert_predictor<no_name>);
static_assert(!buddy::expert_predictor<cannot_move>);
static_assert(!buddy::expert_predictor<observe_may_throw>);
static_assert(!buddy::expert_predictor<predict_counts_in_ints>);
static_assert(!buddy::expert_predictor<predict_for_no_layer>);
static_assert(!buddy::expert_predictor<int>);

}  // namespace

TEST_CASE("the least predictor can be moved and not copied", "[concepts][expert_predictor]") {
  STATIC_REQUIRE(std::movable<least>);
  STATIC_REQUIRE_FALSE(std::copyable<least>);
  std::uint16_t id = 7;
  CHECK(least(buddy::model_shape{}).predict(0, {&id, 1}) == 1);
  CHECK(id == 0);
}
