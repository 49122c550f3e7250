// SPDX-License-Identifier: Apache-2.0
/// @file
/// Every component carries the name that configurations and reports use for it.
#pragma once

#include <buddy/model_shape.hpp>

#include <concepts>
#include <string_view>

namespace buddy::inline v0 {

/// Has a `static constexpr std::string_view name`, or a `name()` chosen at run time.
template <class C>
concept has_name = requires {
  { C::name } -> std::convertible_to<std::string_view>;
} || requires(C const& c) {
  { c.name() } -> std::convertible_to<std::string_view>;
};

/// The name, whichever way it is offered.
template <has_name C>
[[nodiscard]] constexpr std::string_view name_of(C const& c) noexcept {
  if constexpr (requires { c.name(); }) {
    return c.name();
  } else {
    return C::name;
  }
}

namespace detail {

/// Knows which models its tables serve.
template <class C>
concept has_fits = requires(C const& c, model_shape const& shape) {
  { c.fits(shape) } noexcept -> std::same_as<bool>;
};

}  // namespace detail

}  // namespace buddy::inline v0
