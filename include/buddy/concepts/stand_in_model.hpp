// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a type must offer to compute something in an expert's place.
#pragma once

#include <buddy/concepts/named.hpp>
#include <buddy/resolution.hpp>

#include <concepts>
#include <cstdint>

namespace buddy::inline v0 {

namespace detail {

template <class S>
concept has_how = requires {
  { S::how } -> std::convertible_to<resolution>;
};

template <class S>
concept has_bytes = requires(S const& s) {
  { s.bytes() } noexcept -> std::convertible_to<std::uint64_t>;
};

template <class S>
concept has_add = requires(S const& s, float weight, float const* x, float* y) {
  { s.add(weight, x, y) } noexcept;
};

}  // namespace detail

/// Computes what takes the place of one expert's output.
///
/// @code
/// struct my_stand_in {
///   static constexpr std::string_view name = "mine";
///   static constexpr buddy::resolution how = buddy::resolution::surrogate;
///   std::uint64_t bytes() const noexcept;                               // of fast memory, all the time
///   void add(float weight, float const* x, float* y) const noexcept;    // y += weight * its output for x
/// };
/// static_assert(buddy::stand_in_model<my_stand_in>);
/// @endcode
///
/// The models here are views of a record of exactly `bytes()` bytes, so that the loss that is measured is that of the
/// bytes that are charged. Laws (`buddy/testing/stand_in_laws.hpp`):
///  -# `how` is `buddy`, `surrogate`, `low_precision` or `drop`.
///  -# `add` adds: what was in y stays in the sum, and nothing beyond [hidden] is touched.
///  -# The output is proportional to the weight, up to rounding; a weight of 0 adds nothing.
///  -# Equal inputs give equal outputs.
template <class S>
concept stand_in_model =
    std::movable<S> && has_name<S> && detail::has_how<S> && detail::has_bytes<S> && detail::has_add<S>;

}  // namespace buddy::inline v0
