// expect-error: has_bytes
// SPDX-License-Identifier: Apache-2.0
#include <buddy/testing/stand_in_laws.hpp>

struct incomplete {
  static constexpr std::string_view name = "incomplete";
  static constexpr buddy::resolution how = buddy::resolution::surrogate;
  void add(float, float const*, float*) const noexcept {}
};
auto const broken = buddy::testing::broken_stand_in_law(incomplete{}, 8, 1);
