// SPDX-License-Identifier: Apache-2.0
/// @file
/// What it is expected to cost when something else computes in an expert's place.
#pragma once

#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace buddy::inline v0 {

/// Micro-bits: 1e-6 bits of loss for one token. What every expected loss is counted in.
inline constexpr double micro_bits = 1e6;

/// The stand-in that is always resident for an expert: `drop` where there is none but leaving the expert out.
struct resident_stand_in {
  resolution how{resolution::drop};  ///< `surrogate`, `low_precision` or `drop`
  std::uint32_t full_loss_ub{};      ///< expected loss when the expert has the whole gate weight of its token
};

/// What one expert costs in another's place.
struct buddy_error {
  std::uint32_t full_loss_ub{unknown_loss_ub};  ///< as of `resident_stand_in`; `unknown_loss_ub`: it must not stand in
  q16 scale_q16{q16_one};                       ///< least-squares factor of its output, on top of the gate weight

  [[nodiscard]] BUDDY_HD constexpr bool known() const noexcept { return full_loss_ub != unknown_loss_ub; }
};

/// Expected loss of one slot: the output's error grows with the gate share, and the loss with the square of the error.
/// @param full_loss_ub  at a share of 1
/// @param share_q16     the missing expert's
/// @returns full_loss_ub x share^2, rounded up; no input overflows
[[nodiscard]] BUDDY_HD constexpr std::uint64_t loss_ub(std::uint32_t full_loss_ub, q16 share_q16) noexcept {
  constexpr std::uint64_t low = 0xffff'ffffU;
  std::uint64_t const squared = std::uint64_t{share_q16} * share_q16;  // Q32
  return full_loss_ub * (squared >> 32) + ((full_loss_ub * (squared & low) + low) >> 32);
}

/// What a decision reads; points into `expected_errors` or a copy of its arrays in device memory.
struct expected_error_ref {
  view<resolution const> kinds;               ///< [n_layers, n_experts] of the resident stand-ins
  view<std::uint32_t const> losses_ub;        ///< [n_layers, n_experts] at a share of 1
  view<std::uint32_t const> buddy_losses_ub;  ///< [n_layers, n_experts (missing), n_experts (standing in)], or empty
  view<q16 const> buddy_scales_q16;           ///< as `buddy_losses_ub`
  std::uint32_t n_experts{};

  [[nodiscard]] BUDDY_HD constexpr resident_stand_in stand_in_of(expert_key k) const noexcept {
    std::uint32_t const i = k.layer * n_experts + k.expert;
    return {kinds[i], losses_ub[i]};
  }

  [[nodiscard]] BUDDY_HD constexpr bool has_buddies() const noexcept { return !buddy_losses_ub.empty(); }

  /// @pre has_buddies()
  [[nodiscard]] BUDDY_HD constexpr buddy_error buddy_loss(expert_key missing, std::uint16_t buddy) const noexcept {
    std::uint32_t const i = (missing.layer * n_experts + missing.expert) * n_experts + buddy;
    return {buddy_losses_ub[i], buddy_scales_q16[i]};
  }

  /// `buddy::loss_ub`, so that one argument is enough where decisions are made.
  [[nodiscard]] BUDDY_HD static constexpr std::uint64_t loss_ub(std::uint32_t full_loss_ub, q16 share_q16) noexcept {
    return v0::loss_ub(full_loss_ub, share_q16);
  }

  /// Whether it knows every expert of a model, and every pair or none.
  [[nodiscard]] constexpr bool fits(model_shape const& shape) const noexcept {
    std::size_t const n_keys = shape.n_keys();
    std::size_t const n_pairs = has_buddies() ? n_keys * shape.n_experts : 0;
    return n_experts == shape.n_experts && kinds.size == n_keys && losses_ub.size == n_keys &&
           buddy_losses_ub.size == n_pairs && buddy_scales_q16.size == n_pairs;
  }
};

static_assert(device_portable<expected_error_ref>);

/// Owns the expected losses of one model's stand-ins, and says how well each is known.
///
/// Every expert begins as never seen: it is dropped at the prior's loss. The prior is the caller's statement of what
/// an unmeasured stand-in costs; `set_prior_to_worst` states the careful one.
class expected_errors {
 public:
  /// @param prior_loss_ub  of experts without samples
  /// @throws config_error when the shape is not valid, or the table of pairs would have 2^32 entries or more
  explicit expected_errors(model_shape const& shape, std::uint32_t prior_loss_ub = 1'000'000) : shape_(shape) {
    validate(shape);
    if (shape.n_keys() > std::numeric_limits<std::uint32_t>::max() / shape.n_experts)
      detail::throw_config_error("buddy::expected_errors: layers x experts x experts must be below 2^32");
    kinds_.assign(shape.n_keys(), resolution::drop);
    losses_ub_.assign(shape.n_keys(), prior_loss_ub);
    n_samples_.assign(shape.n_keys(), 0);
    priors_ub_.assign(shape.n_layers, prior_loss_ub);
  }

  /// What is resident for an expert, and its loss over `n_samples` routed tokens; without samples the layer's prior.
  /// @throws config_error when `how` is no stand-in that is always resident
  void set_stand_in(expert_key k, resolution how, std::uint32_t full_loss_ub, std::uint64_t n_samples) {
    if (how != resolution::surrogate && how != resolution::low_precision && how != resolution::drop)
      detail::throw_config_error(
          "buddy::expected_errors: a resident stand-in is a surrogate, a low-precision copy or "
          "a drop");
    std::size_t const i = shape_.index(k);
    kinds_[i] = how;
    n_samples_[i] = n_samples;
    losses_ub_[i] = n_samples == 0 ? priors_ub_[k.layer] : full_loss_ub;
  }

  /// States what never-seen experts of a layer cost.
  void set_prior(std::uint16_t layer, std::uint32_t prior_loss_ub) noexcept {
    priors_ub_[layer] = prior_loss_ub;
    for (std::uint16_t e = 0; e != shape_.n_experts; ++e) {
      std::size_t const i = shape_.index({layer, e});
      if (n_samples_[i] == 0) losses_ub_[i] = prior_loss_ub;
    }
  }

  /// Never-seen experts cost what the worst of their layer that was seen costs; layers without any keep their prior.
  void set_prior_to_worst() noexcept {
    for (std::uint16_t l = 0; l != shape_.n_layers; ++l) {
      bool seen = false;
      std::uint32_t worst = 0;
      for (std::uint16_t e = 0; e != shape_.n_experts; ++e) {
        std::size_t const i = shape_.index({l, e});
        if (n_samples_[i] == 0) continue;
        seen = true;
        worst = std::max(worst, losses_ub_[i]);
      }
      if (seen) set_prior(l, worst);
    }
  }

  /// Makes room for pairs, all of them unknown.
  void add_buddies() {
    std::size_t const n_pairs = shape_.n_keys() * shape_.n_experts;
    buddy_losses_ub_.assign(n_pairs, unknown_loss_ub);
    buddy_scales_q16_.assign(n_pairs, q16_one);
  }

  /// @pre add_buddies() was called; `buddy` is another expert
  void set_buddy(expert_key missing, std::uint16_t buddy, buddy_error error) noexcept {
    std::size_t const i = shape_.index(missing) * shape_.n_experts + buddy;
    buddy_losses_ub_[i] = error.full_loss_ub;
    buddy_scales_q16_[i] = error.scale_q16;
  }

  /// Samples behind an expert's loss: 0 is the prior.
  [[nodiscard]] std::uint64_t confidence(expert_key k) const noexcept { return n_samples_[shape_.index(k)]; }
  [[nodiscard]] std::uint32_t prior(std::uint16_t layer) const noexcept { return priors_ub_[layer]; }

  /// Valid while the owner lives; moving it keeps it valid, `add_buddies` does not.
  [[nodiscard]] expected_error_ref ref() const noexcept {
    auto const of = []<class T>(std::vector<T> const& v) -> view<T const> {
      return {v.data(), static_cast<std::uint32_t>(v.size())};
    };
    return {of(kinds_), of(losses_ub_), of(buddy_losses_ub_), of(buddy_scales_q16_), shape_.n_experts};
  }

  [[nodiscard]] model_shape const& shape() const noexcept { return shape_; }

  bool operator==(expected_errors const&) const = default;

 private:
  model_shape shape_;
  std::vector<resolution> kinds_;               // [L, E]
  std::vector<std::uint32_t> losses_ub_;        // [L, E]
  std::vector<std::uint64_t> n_samples_;        // [L, E]
  std::vector<std::uint32_t> priors_ub_;        // [L]
  std::vector<std::uint32_t> buddy_losses_ub_;  // [L, E, E]
  std::vector<q16> buddy_scales_q16_;           // [L, E, E]
};

}  // namespace buddy::inline v0
