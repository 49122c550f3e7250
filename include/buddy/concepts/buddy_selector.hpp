// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a type must offer to choose the stand-in for a missing expert.
#pragma once

#include <buddy/concepts/named.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <concepts>
#include <cstdint>

namespace buddy::inline v0 {

namespace detail {

template <class S>
concept has_select =
    requires(S const& s, token_view const& t, view<slot_id const> slots, expert_set const& taken, std::uint32_t i) {
      { s.select(t, slots, taken, i) } noexcept -> std::same_as<stand_in>;
    };

}  // namespace detail

/// Chooses what stands in for routed slot `s` of a token, whose expert is not resident.
///
/// @code
/// struct my_selector {
///   static constexpr std::string_view name = "mine";
///   BUDDY_HD constexpr buddy::stand_in select(buddy::token_view const& token,
///                                             buddy::view<buddy::slot_id const> slot_of,  // [n_experts] of this layer
///                                             buddy::expert_set const& taken,  // routed by this token, or chosen
///                                             std::uint32_t s) const noexcept;
/// };
/// static_assert(buddy::buddy_selector<my_selector>);
/// @endcode
///
/// It runs on the device too: no allocation; integers, or comparisons of floats that are given (no float arithmetic).
/// A component with tables may offer `bool fits(buddy::model_shape const&) const noexcept`: `policy` refuses one that
/// says no. Laws (`buddy/testing/selector_laws.hpp`):
///  -# A `buddy` it names is resident (`slot_of[expert] != no_slot`) and not in `taken`.
///  -# Equal inputs give equal answers; ties go to the lower expert id.
template <class S>
concept buddy_selector = device_portable<S> && has_name<S> && detail::has_select<S>;

}  // namespace buddy::inline v0
