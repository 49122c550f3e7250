// expect-error: has_select
// SPDX-License-Identifier: Apache-2.0
#include <buddy/testing/selector_laws.hpp>

struct incomplete {
  static constexpr std::string_view name = "incomplete";
};
auto const broken = buddy::testing::broken_selector_law(incomplete{}, {1, 8, 2, 1}, 1);
