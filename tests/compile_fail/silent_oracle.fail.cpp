// expect-error: has_predict
// SPDX-License-Identifier: Apache-2.0
#include <buddy/testing/predictor_laws.hpp>

struct incomplete {
  static constexpr std::string_view name = "incomplete";
  explicit incomplete(buddy::model_shape const&);
  void observe(std::uint16_t, buddy::routing const&) noexcept;
};
auto const broken = buddy::testing::broken_predictor_law<incomplete>({1, 8, 2, 1}, 1);
