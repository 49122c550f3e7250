// SPDX-License-Identifier: Apache-2.0
/// @file
/// The link that is a thread keeps the laws of all links, and moves the right bytes.
#include "harness/layers/memcpy_link.hpp"

#include "catch.hpp"

#include <buddy/testing/transfer_laws.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace {

using harness::memcpy_link;

TEST_CASE("memcpy_link keeps the laws of a transfer engine", "[harness][layers]") {
  std::vector<std::byte> from(1 << 16);
  std::vector<std::byte> to(1 << 16);
  auto const make = [&] {
    return memcpy_link{[&](buddy::expert_copy const&) { return std::pair{to.data(), from.data()}; }, 4096};
  };
  std::array<buddy::expert_copy, 3> const copies{{{{0, 0}, buddy::slot_id{0}, 1 << 16, {}},
                                                  {{0, 1}, buddy::slot_id{1}, 100, {}},
                                                  {{0, 2}, buddy::slot_id{2}, 0, {}}}};
  for (std::uint32_t const seed : {1U, 2U, 3U})
    CHECK(buddy::testing::broken_transfer_law(make, {copies.data(), 3}, seed, 500) == "");
}

TEST_CASE("memcpy_link copies what it was given, in order", "[harness][layers]") {
  std::vector<std::byte> from(8 * 64);
  std::vector<std::byte> to(8 * 64);
  for (std::size_t i = 0; i != from.size(); ++i) from[i] = static_cast<std::byte>(i / 64 + 1);
  memcpy_link link{[&](buddy::expert_copy const& c) {
                     return std::pair{to.data() + static_cast<std::size_t>(c.slot) * 64,
                                      static_cast<std::byte const*>(from.data()) + c.expert.expert * 64U};
                   },
                   2};
  buddy::ticket last{};
  for (std::uint16_t i = 0; i != 8; ++i) {
    last = link.submit({{0, i}, buddy::slot_id{7U - i}, 64, {}});
    if (last == buddy::no_ticket) {  // two fit: wait for the one before
      link.wait(buddy::ticket{static_cast<std::uint64_t>(i - 1)});
      last = link.submit({{0, i}, buddy::slot_id{7U - i}, 64, {}});
    }
    REQUIRE(last != buddy::no_ticket);
  }
  link.wait(last);
  for (std::size_t s = 0; s != 8; ++s) CHECK(to[s * 64 + 63] == static_cast<std::byte>(8 - s));
}

}  // namespace
