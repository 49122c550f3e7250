// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/concepts/stand_in_model.hpp>

#include <cstdint>
#include <string_view>

namespace {

struct least {
  static constexpr std::string_view name = "least";
  static constexpr buddy::resolution how = buddy::resolution::drop;
  std::uint64_t bytes() const noexcept { return 0; }
  void add(float, float const*, float*) const noexcept {}
};

struct nameless {
  [[maybe_unused]] static constexpr buddy::resolution how = buddy::resolution::drop;
  std::uint64_t bytes() const noexcept { return 0; }
  void add(float, float const*, float*) const noexcept {}
};

struct of_no_kind {
  static constexpr std::string_view name = "of_no_kind";
  std::uint64_t bytes() const noexcept { return 0; }
  void add(float, float const*, float*) const noexcept {}
};

struct priceless {
  static constexpr std::string_view name = "priceless";
  static constexpr buddy::resolution how = buddy::resolution::drop;
  void add(float, float const*, float*) const noexcept {}
};

struct throwing {
  static constexpr std::string_view name = "throwing";
  static constexpr buddy::resolution how = buddy::resolution::drop;
  std::uint64_t bytes() const noexcept { return 0; }
  void add(float, float const*, float*) const {}
};

}  // namespace

TEST_CASE("a stand-in needs a name, a kind, a price and a verb that does not throw", "[concepts][stand_in]") {
  STATIC_REQUIRE(buddy::stand_in_model<least>);
  STATIC_REQUIRE_FALSE(buddy::stand_in_model<nameless>);
  STATIC_REQUIRE_FALSE(buddy::stand_in_model<of_no_kind>);
  STATIC_REQUIRE_FALSE(buddy::stand_in_model<priceless>);
  STATIC_REQUIRE_FALSE(buddy::stand_in_model<throwing>);
}
