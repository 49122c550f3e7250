// SPDX-License-Identifier: Apache-2.0
/// @file
/// How a routed slot ends, and why a stand-in was refused.
#pragma once

#include <buddy/config.hpp>
#include <buddy/fixed_point.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace buddy::inline v0 {

/// How a routed slot ends.
enum class resolution : std::uint8_t {
  own,            ///< it was resident
  buddy,          ///< another resident expert stands in
  surrogate,      ///< a small approximation of the expert stands in
  low_precision,  ///< a low-precision copy of the expert stands in
  host,           ///< the CPU computes it from slow memory
  fetch,          ///< it is copied to fast memory first, and the layer waits
  drop,           ///< it is left out
};

/// How many `resolution` has.
inline constexpr std::size_t n_resolutions = 7;

inline constexpr std::array<std::string_view, n_resolutions> resolution_names{
    "own", "buddy", "surrogate", "low_precision", "host", "fetch", "drop"};

/// The enumerator's name, as reports write it.
[[nodiscard]] constexpr std::string_view to_string(resolution r) noexcept {
  return resolution_names[static_cast<std::size_t>(r)];
}

/// Why a missing expert did not get a stand-in; `none` when it did, or when it was resident.
enum class refusal : std::uint8_t {
  none,
  exact_mode,         ///< the policy never substitutes
  distribution_gate,  ///< too many of the batch's experts are missing: delta >= beta
  sensitivity,        ///< the estimator forbids this slot
  token_budget,       ///< the token already has rho stand-ins at this layer
  replacement_ratio,  ///< the sliding window already holds its share of stand-ins
  no_stand_in,        ///< the selector found nothing
  loss_budget,        ///< what it found would lose more than is allowed, or than its time is worth
};

/// How many `refusal` has, `none` included.
inline constexpr std::size_t n_refusals = 8;

inline constexpr std::array<std::string_view, n_refusals> refusal_names{
    "none",         "exact_mode",        "distribution_gate", "sensitivity",
    "token_budget", "replacement_ratio", "no_stand_in",       "loss_budget"};

/// The enumerator's name, as reports write it.
[[nodiscard]] constexpr std::string_view to_string(refusal r) noexcept {
  return refusal_names[static_cast<std::size_t>(r)];
}

/// The loss of a stand-in that was never measured: no budget bears it. Losses are in micro-bits, 1e-6 bits a token.
inline constexpr std::uint32_t unknown_loss_ub = std::numeric_limits<std::uint32_t>::max();

/// A selector's answer for one missing expert.
struct stand_in {
  bool found{};
  resolution how{resolution::buddy};       ///< `buddy`, `surrogate`, `low_precision` or `drop`
  std::uint16_t expert{};                  ///< which resident expert, when `how` is `buddy`
  std::uint16_t rank{};                    ///< its position in the selector's order of preference, from 0
  q16 scale_q16{q16_one};                  ///< factor of the stand-in's output, on top of its gate weight
  std::uint32_t loss_ub{unknown_loss_ub};  ///< what it is expected to cost this token, if the selector knows
};

}  // namespace buddy::inline v0
