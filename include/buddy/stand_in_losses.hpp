// SPDX-License-Identifier: Apache-2.0
/// @file
/// From a profile's errors to the losses that decisions are made with.
#pragma once

#include <buddy/error.hpp>
#include <buddy/expected_error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/profile.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace buddy::inline v0 {

/// Bits to micro-bits, rounded up; less than `unknown_loss_ub` however large.
[[nodiscard]] inline std::uint32_t to_loss_ub(double bits) noexcept {
  double const most = static_cast<double>(unknown_loss_ub - 1);
  return static_cast<std::uint32_t>(std::ceil(std::clamp(bits * micro_bits, 0.0, most)));
}

/// @returns the profile's stand-ins of that name, or null
[[nodiscard]] inline stand_in_set const* find_stand_ins(profile const& p, std::string_view name) noexcept {
  auto const it = std::find_if(p.stand_ins.begin(), p.stand_ins.end(), [&](auto const& s) { return s.name == name; });
  return it == p.stand_ins.end() ? nullptr : &*it;
}

/// The profile's stand-ins of that name.
/// @throws config_error when there are none; the message lists those there are
[[nodiscard]] inline stand_in_set const& stand_ins_named(profile const& p, std::string_view name) {
  if (stand_in_set const* const set = find_stand_ins(p, name); set != nullptr) return *set;
  std::string known;
  for (stand_in_set const& s : p.stand_ins) known += (known.empty() ? "" : "; ") + s.name;
  std::string const text =
      "the profile has no stand-ins '" + std::string(name) + "'; it has: " + (known.empty() ? "none" : known);
  detail::throw_config_error(text.c_str());
}

namespace detail {

inline void add_layer(expected_errors& errors, profile const& p, stand_in_set const& set, std::uint16_t l) {
  for (std::uint16_t e = 0; e != p.shape.n_experts; ++e) {
    std::size_t const i = p.shape.index({l, e});
    double const bits = static_cast<double>(set.loss_weights[l]) * static_cast<double>(set.errors[i]);
    errors.set_stand_in({l, e}, set.how, to_loss_ub(bits), p.output_samples[i]);
  }
}

inline void add_pairs(expected_errors& errors, profile const& p) {
  errors.add_buddies();
  for (std::uint16_t l = 0; l != p.shape.n_layers; ++l) {
    for (std::uint16_t i = 0; i != p.shape.n_experts; ++i) {
      if (p.output_samples[p.shape.index({l, i})] == 0) continue;
      for (std::uint16_t j = 0; j != p.shape.n_experts; ++j) {
        std::size_t const at = p.pair_index(l, i, j);
        if (i == j || !(p.buddy_scales[at] > 0.0F)) continue;  // at a factor of 0 it is a drop
        double const bits = static_cast<double>(p.buddy_loss_weights[l]) * static_cast<double>(p.buddy_errors[at]);
        errors.set_buddy({l, i}, j, {to_loss_ub(bits), to_q16(std::min(p.buddy_scales[at], 65534.0F))});
      }
    }
  }
}

}  // namespace detail

/// Expected losses where layer l has the stand-ins `of_layer(l)`, and where any resident may be a buddy if the profile
/// has measured pairs. Never-seen experts cost what the worst of their layer costs.
/// @param of_layer  `stand_in_set const&(std::uint16_t)`, sets of this profile
/// @throws config_error when the profile has no samples
template <std::invocable<std::uint16_t> OfLayer>
[[nodiscard]] expected_errors losses_of(profile const& p, OfLayer const& of_layer, bool with_buddies = true) {
  if (p.output_samples.empty())
    detail::throw_config_error("buddy::losses_of: the profile has no stand-ins; calibrate with --stand-ins");
  expected_errors errors{p.shape};
  for (std::uint16_t l = 0; l != p.shape.n_layers; ++l) detail::add_layer(errors, p, of_layer(l), l);
  errors.set_prior_to_worst();
  if (with_buddies && !p.buddy_errors.empty()) detail::add_pairs(errors, p);
  return errors;
}

/// The same with one kind for all layers.
/// @throws config_error also when the profile has none of that name; the message lists those it has
[[nodiscard]] inline expected_errors losses_of(profile const& p, std::string_view name, bool with_buddies = true) {
  stand_in_set const& set = stand_ins_named(p, name);
  return losses_of(p, [&](std::uint16_t) -> stand_in_set const& { return set; }, with_buddies);
}

}  // namespace buddy::inline v0
