// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a type must offer to say which experts a layer will need next.
#pragma once

#include <buddy/concepts/named.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/view.hpp>

#include <concepts>
#include <cstdint>

namespace buddy::inline v0 {

namespace detail {

template <class P>
concept has_observe = requires(P& p, std::uint16_t layer, routing const& r) {
  { p.observe(layer, r) } noexcept -> std::same_as<void>;
};
template <class P>
concept has_predict = requires(P& p, std::uint16_t layer, view<std::uint16_t> out) {
  { p.predict(layer, out) } noexcept -> std::same_as<std::uint32_t>;
};

}  // namespace detail

/// Watches the routing and names the experts that a layer will probably be asked for the next time it runs.
///
/// @code
/// struct my_predictor {
///   static constexpr std::string_view name = "mine";
///   explicit my_predictor(buddy::model_shape const&);                              // may throw, may allocate
///   void observe(std::uint16_t layer, buddy::routing const&) noexcept;             // what the router really chose
///   std::uint32_t predict(std::uint16_t layer, buddy::view<std::uint16_t> out) noexcept;  // best first; returns count
/// };
/// static_assert(buddy::expert_predictor<my_predictor>);
/// @endcode
///
/// One that learns text by text may offer `void begin_sequence() noexcept`: `policy` forwards what the host tells it.
/// A component with tables may offer `bool fits(buddy::model_shape const&) const noexcept`: `policy` refuses one that
/// says no. Laws (`buddy/testing/predictor_laws.hpp`):
///  -# `predict` writes at most `out.size` ids, all below `n_experts`, no id twice.
///  -# Equal observations in equal order give equal predictions; ties go to the lower id.
///  -# It knows the past only: what it says of a layer is settled before that layer is observed.
template <class P>
concept expert_predictor = std::movable<P> && has_name<P> && detail::has_observe<P> && detail::has_predict<P>;

}  // namespace buddy::inline v0
