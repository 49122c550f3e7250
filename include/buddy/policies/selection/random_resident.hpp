// SPDX-License-Identifier: Apache-2.0
/// @file
/// Any resident expert: the control that says what a choice is worth.
///
/// Source: the baseline "Random" of BuddyMoE, arXiv:2511.10054. Differs from it: reproducible from a seed.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/splitmix64.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::selection {

/// Chooses uniformly among the layer's resident, untaken experts.
///
/// The choice is a hash of (seed, token number, layer, slot): no state, and the same on the device. Time O(n_experts).
struct random_resident {
  static constexpr std::string_view name = "random_resident";

  std::uint64_t seed = 1;

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const& token, view<slot_id const> slot_of,
                                                   expert_set const& taken, std::uint32_t s) const noexcept {
    std::uint32_t candidates = 0;
    for (std::uint32_t e = 0; e != slot_of.size; ++e) candidates += may_serve(slot_of, taken, e) ? 1 : 0;
    if (candidates == 0) return {};
    std::uint64_t const place = std::uint64_t{token.layer} << 32 | s;
    std::uint32_t left = below(splitmix64(splitmix64(splitmix64(seed) ^ token.number) ^ place), candidates);
    std::uint32_t e = 0;
    for (; !may_serve(slot_of, taken, e) || left-- != 0; ++e) {
    }
    return {true, resolution::buddy, static_cast<std::uint16_t>(e), 0};
  }

 private:
  static BUDDY_HD constexpr bool may_serve(view<slot_id const> slot_of, expert_set const& taken,
                                           std::uint32_t e) noexcept {
    return slot_of[e] != no_slot && !taken.contains(e);
  }
};

static_assert(buddy_selector<random_resident>);

}  // namespace buddy::inline v0::selection
