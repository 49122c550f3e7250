// expect-error: has_replaceable
// SPDX-License-Identifier: Apache-2.0
#include <buddy/testing/sensitivity_laws.hpp>

struct incomplete {
  static constexpr std::string_view name = "incomplete";
};
auto const broken = buddy::testing::broken_sensitivity_law(incomplete{}, {1, 8, 2, 1}, 1);
