// SPDX-License-Identifier: Apache-2.0
/// @file
/// Builds the tables.
#include "harness/guard/loss_setup.hpp"

#include <buddy/error.hpp>
#include <buddy/stand_in_losses.hpp>

#include <algorithm>
#include <cstddef>

namespace harness {

namespace {

buddy::q16 to_link(double link) { return buddy::to_q16(std::clamp(link, 1.0 / 64, 64.0)); }

buddy::guard_options options_of(loss_settings const& s, std::uint64_t target_ub, double link) {
  buddy::guard_options o{.target_ub = target_ub};
  o.audits_per_1000 = s.slot_audits;
  o.tokens_per_10000 = s.token_audits;
  o.link_q16 = to_link(link);
  return o;
}

buddy::expected_errors errors_of(policy_settings const& settings, buddy::profile const& profile) {
  auto const of_layer = [&](std::uint16_t l) -> buddy::stand_in_set const& {
    return buddy::stand_ins_named(profile, stand_ins_of_layer(settings, l));
  };
  return buddy::losses_of(profile, of_layer, settings.loss.buddies);
}

std::vector<float> weights_of(policy_settings const& settings, buddy::profile const& profile) {
  std::vector<float> weights;
  for (std::size_t l = 0; l != profile.shape.n_layers; ++l)
    weights.push_back(buddy::stand_ins_named(profile, stand_ins_of_layer(settings, l)).loss_weights[l]);
  return weights;
}

}  // namespace

loss_setup::loss_setup(policy_settings const& settings, buddy::profile const& profile, buddy::model_shape const& shape,
                       exact_reference const& exact, double link, bool guarded)
    : errors_(errors_of(settings, profile)),
      loss_weights_(weights_of(settings, profile)),
      norm_log2_q16_(exact.norm_log2_q16),
      link_q16_(shape.n_layers, to_link(link)) {
  if (!settings.loss.promise) return;
  target_ub_ = settings.loss.promise->target_ub(exact.bits_per_byte);
  if (guarded)
    guard_ = std::make_unique<buddy::quality_guard>(shape, options_of(settings.loss, target_ub_, link), errors_);
}

loss_tables loss_setup::tables() const noexcept {
  buddy::view<std::int32_t const> const norms{norm_log2_q16_.data(), static_cast<std::uint32_t>(norm_log2_q16_.size())};
  if (guard_) return {guard_->errors(), {guard_->layer_factors(), norms}};
  return {errors_.ref(), {{link_q16_.data(), static_cast<std::uint32_t>(link_q16_.size())}, norms}};
}

}  // namespace harness
