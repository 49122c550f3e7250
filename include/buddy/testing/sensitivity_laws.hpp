// SPDX-License-Identifier: Apache-2.0
/// @file
/// Checks the laws of `sensitivity_estimator` on any model, yours included, under any test framework.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/testing/token_sample.hpp>

#include <cstdint>
#include <string_view>
#include <utility>

namespace buddy::inline v0::testing {

/// Asks about random tokens of a model of this shape.
/// @returns the law that was broken first, or an empty view
template <sensitivity_estimator E>
[[nodiscard]] std::string_view broken_sensitivity_law(E const& gate, model_shape const& shape, std::uint32_t seed,
                                                      int tokens = 1000) {
  dice random(seed);
  for (int i = 0; i != tokens; ++i) {
    detail::token_sample const token = detail::random_token(shape, random);
    slot_mask const mask = gate.replaceable(token.as_view());
    if (shape.top_k < 32 && mask >> shape.top_k != 0) return "only the lowest top_k bits may be set";

    detail::token_sample const twin = token;
    E const other = gate;
    if (gate.replaceable(token.as_view()) != mask || other.replaceable(twin.as_view()) != mask)
      return "equal tokens must give equal masks";

    detail::token_sample swapped = token;
    std::uint32_t const a = random.roll(shape.top_k);
    std::uint32_t const b = random.roll(shape.top_k);
    std::swap(swapped.experts[a], swapped.experts[b]);
    std::swap(swapped.shares[a], swapped.shares[b]);
    slot_mask const bits = (mask >> a ^ mask >> b) & 1U;  // 1 if they differ: then both flip
    slot_mask const expected = mask ^ (a == b ? 0 : bits << a | bits << b);
    if (gate.replaceable(swapped.as_view()) != expected) return "permuting the slots must permute the mask";
  }
  return {};
}

}  // namespace buddy::inline v0::testing
