// SPDX-License-Identifier: Apache-2.0
/// @file
/// The stand-in that is expected to cost least, with its price.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/expected_error.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/resolution.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0 {

namespace detail {

/// x times 2^(exponent / 65536), rounded up; `unknown_loss_ub` when that is reached. @pre the exponent is in [-2^20, 15
/// x 65536]
[[nodiscard]] BUDDY_HD constexpr std::uint32_t scaled_loss(std::uint64_t x, std::int32_t exponent_q16) noexcept {
  if (x >= unknown_loss_ub) return unknown_loss_ub;
  std::int32_t const whole = exponent_q16 >> 16;               // floor
  q16 const part = exp2_q16((exponent_q16 & 0xffff) - 65536);  // 2^(fraction - 1), in [1/2, 1)
  std::int32_t const down = 15 - whole;                        // x part / 2^down is the result
  std::uint64_t const product = x * part;                      // below 2^48
  std::uint64_t const result = down > 48 ? (product != 0 ? 1 : 0) : (product + (std::uint64_t{1} << down) - 1) >> down;
  return result < unknown_loss_ub ? static_cast<std::uint32_t>(result) : unknown_loss_ub;
}

}  // namespace detail

/// What turns an expected loss of the profile into that of one token: what was learnt since, and the token itself.
struct loss_corrections {
  view<q16 const> layer_q16{};               ///< [n_layers] factors, Q16, or empty: 1. See `quality_guard`
  view<std::int32_t const> norm_log2_q16{};  ///< [n_layers] norm for which the losses hold, as `token_view` has it

  /// An error of the same size costs a token with twice the norm a quarter. Without norms the loss stays as it is.
  [[nodiscard]] BUDDY_HD constexpr std::uint32_t apply(std::uint64_t loss_ub, token_view const& token) const noexcept {
    if (!layer_q16.empty()) loss_ub = (loss_ub * layer_q16[token.layer] + 0xffff) >> 16;
    if (norm_log2_q16.empty() || token.norm_log2_q16 == unknown_norm) return detail::scaled_loss(loss_ub, 0);
    constexpr std::int32_t most = 15 * 65536;
    std::int32_t const d = 2 * (norm_log2_q16[token.layer] - token.norm_log2_q16);
    return detail::scaled_loss(loss_ub, d > most ? most : d < -most ? -most : d);
  }

  [[nodiscard]] constexpr bool fits(model_shape const& shape) const noexcept {
    return (layer_q16.empty() || layer_q16.size == shape.n_layers) &&
           (norm_log2_q16.empty() || norm_log2_q16.size == shape.n_layers);
  }
};

namespace selection {

/// Of what is always resident for the missing expert, and of the resident peers if their losses are known, the one with
/// the least expected loss; ties go to what is always resident, then to the lower expert id.
///
/// Says what it costs this token: full loss x share^2, corrected. Time O(1), with losses of buddies O(n_experts).
struct expected_error {
  static constexpr std::string_view name = "expected_error";

  expected_error_ref errors{};
  loss_corrections corrections{};

  /// Whether the tables are of this model's sizes.
  [[nodiscard]] constexpr bool fits(model_shape const& shape) const noexcept {
    return errors.fits(shape) && corrections.fits(shape);
  }

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const& token, view<slot_id const> slot_of,
                                                   expert_set const& taken, std::uint32_t s) const noexcept {
    expert_key const missing{token.layer, token.experts[s]};
    resident_stand_in const always = errors.stand_in_of(missing);
    stand_in best{true, always.how, 0, 0, q16_one, always.full_loss_ub};
    if (errors.has_buddies()) {
      for (std::uint32_t e = 0; e != slot_of.size; ++e) {
        buddy_error const other = errors.buddy_loss(missing, static_cast<std::uint16_t>(e));
        if (other.full_loss_ub >= best.loss_ub || slot_of[e] == no_slot || taken.contains(e)) continue;
        best = {true, resolution::buddy, static_cast<std::uint16_t>(e), 0, other.scale_q16, other.full_loss_ub};
      }
    }
    if (best.loss_ub == unknown_loss_ub) return {};
    best.loss_ub = corrections.apply(loss_ub(best.loss_ub, token.shares[s]), token);
    return best;
  }
};

static_assert(buddy_selector<expected_error>);

}  // namespace selection

}  // namespace buddy::inline v0
