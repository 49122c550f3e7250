// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a type must offer to say which routed slots bear a stand-in.
#pragma once

#include <buddy/concepts/named.hpp>
#include <buddy/routing.hpp>
#include <buddy/view.hpp>

#include <concepts>

namespace buddy::inline v0 {

namespace detail {

template <class E>
concept has_replaceable = requires(E const& e, token_view const& t) {
  { e.replaceable(t) } noexcept -> std::same_as<slot_mask>;
};

}  // namespace detail

/// Says, from one token's gate weights, which of its experts may be replaced should they be missing.
///
/// @code
/// struct my_gate {
///   static constexpr std::string_view name = "mine";
///   BUDDY_HD constexpr buddy::slot_mask replaceable(buddy::token_view const& token) const noexcept;
/// };
/// static_assert(buddy::sensitivity_estimator<my_gate>);
/// @endcode
///
/// It runs on the device too: integers only, no allocation, the same answer on both sides.
/// A component with tables may offer `bool fits(buddy::model_shape const&) const noexcept`: `policy` refuses one that
/// says no. Laws (`buddy/testing/sensitivity_laws.hpp`):
///  -# Only the lowest `top_k` bits may be set.
///  -# Equal tokens give equal masks.
///  -# The answer does not depend on the order of the slots: permuting them permutes the mask.
template <class E>
concept sensitivity_estimator = device_portable<E> && has_name<E> && detail::has_replaceable<E>;

}  // namespace buddy::inline v0
