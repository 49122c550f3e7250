// SPDX-License-Identifier: Apache-2.0
/// @file
/// The part of a session that decides by expected loss: what it calibrates, and the bound it is compared with.
#include "harness/fidelity/planned_bytes.hpp"
#include "harness/fidelity/served_stand_ins.hpp"
#include "harness/fidelity/stand_in_calibration.hpp"
#include "harness/fidelity/stand_in_spec.hpp"
#include "harness/guard/measured_link.hpp"
#include "harness/guard/oracle_moe.hpp"
#include "harness/policy/compose.hpp"
#include "harness/run/calibration.hpp"
#include "harness/run/policy_moe.hpp"
#include "harness/run/session.hpp"
#include "harness/sim/offload_clock.hpp"

#include <buddy/expected_error.hpp>
#include <buddy/stand_in_losses.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace harness {

void session::prepare_losses(std::vector<policy_settings> const& policies) {
  if (std::none_of(policies.begin(), policies.end(), needs_losses)) return;
  auto const missing = missing_stand_ins(policies);
  for (std::string const& name : missing) static_cast<void>(stand_in_spec::parse(name));  // before all that takes long
  if (calibration_.empty()) {
    calibration_options calibration;
    calibration.seed = options_.evaluation.seed;
    calibration_ = calibration_texts(model_, calibration);
    reference_ = measure_exact(model_, calibration_);
    exact_moe exact;
    exact_calibration_.push_back(logits_of(model_, calibration_, exact));
  }
  if (!missing.empty()) fit_stand_ins(missing);
}

std::vector<std::string> session::missing_stand_ins(std::vector<policy_settings> const& policies) const {
  std::vector<std::string> missing;
  for (policy_settings const& s : policies) {
    if (!needs_losses(s) || is_planned(s) || !s.loss.layer_stand_ins.empty()) continue;
    if (buddy::find_stand_ins(*profile_, s.loss.stand_ins) != nullptr) continue;
    if (std::ranges::find(missing, s.loss.stand_ins) == missing.end()) missing.push_back(s.loss.stand_ins);
  }
  return missing;
}

/// Those of the profile are fitted again: the losses of all kinds come from one sample.
void session::fit_stand_ins(std::vector<std::string> names) {
  for (buddy::stand_in_set const& set : profile_->stand_ins)
    if (set.name != "zero") names.push_back(set.name);
  profile_->stand_ins.clear();
  stand_in_options options;
  for (std::string const& name : names)
    if (name != "zero") options.names.push_back(name);
  add_stand_ins(model_, calibration_, options, *profile_, [](std::string const&, double) {});
}

policy_settings session::with_budget(policy_settings settings, loss_setup const* losses) const {
  settings = priced(settings, machine_, shape_);
  if (losses != nullptr) settings.rules.loss.target_ub = losses->target_ub();
  return settings;
}

std::optional<loss_setup> session::losses_for(policy_settings const& settings) const {
  if (!needs_losses(settings)) return std::nullopt;
  double const link = settings.loss.promise ? link_of(settings) : 1.0;
  return loss_setup{settings, *profile_, charged_model(), reference_, link, settings.loss.guard};
}

double session::link_of(policy_settings const& given) const {
  if (given.loss.link) return *given.loss.link;
  policy_settings const settings = planned(given);
  std::optional<served_stand_ins> stand_ins;
  if (has_stand_ins(settings)) stand_ins.emplace(settings, *profile_, model_);
  constexpr int n_rounds = 2;  // the first budget is off by the link, which depends a little on the budget
  double link = 1.0;
  for (int i = 0; i != n_rounds; ++i) {
    loss_setup const losses{settings, *profile_, charged_model(), reference_, link, false};
    composed_policy composed{with_budget(settings, &losses), charged_model(), &*profile_, {}, losses.tables()};
    offload_clock clock{machine_, shape_};
    policy_moe plain{composed.policy(), clock, nullptr};
    if (stand_ins) plain.serve(*stand_ins);
    expected_moe moe{plain};
    auto const logits = logits_of(model_, calibration_, moe);
    link *= measured_link(calibration_, logits, exact_calibration_.front(), moe.expected_bits());
  }
  return link;
}

run_result session::oracle_with(policy_settings const& settings, std::vector<sequence> const& set,
                                evaluation_logits const& exact, std::uint64_t target_ub) const {
  loss_setup const known{settings, *profile_, charged_model(), reference_, 1.0, false};
  std::vector<std::uint32_t> losses_ub(charged_model().n_keys());
  buddy::expected_error_ref table = known.tables().errors;
  table.losses_ub = {losses_ub.data(), static_cast<std::uint32_t>(losses_ub.size())};
  policy_settings budgeted = with_budget(settings, nullptr);
  budgeted.rules.loss.target_ub = target_ub;
  composed_policy composed{budgeted, charged_model(), &*profile_, {}, {table, {}}};
  offload_clock clock{machine_, shape_};
  policy_moe plain{composed.policy(), clock, nullptr};
  std::optional<served_stand_ins> stand_ins;
  if (has_stand_ins(settings)) plain.serve(stand_ins.emplace(settings, *profile_, model_));
  oracle_moe moe{plain, model_, known.loss_weights(), std::span{losses_ub}};
  outcome const decoded{logits_of(model_, set, moe), clock.totals(), std::nullopt, std::nullopt};
  return result_of(settings, set, exact, composed.policy(), decoded);
}

run_result session::run_oracle(policy_settings const& given, std::vector<sequence> const& set,
                               evaluation_logits const& exact, double kl_bits) const {
  policy_settings const settings = planned(given);
  constexpr int n_rounds = 5;
  double target = std::max(kl_bits * buddy::micro_bits, 1.0);
  for (int i = 0;; ++i) {
    run_result r = oracle_with(settings, set, exact, static_cast<std::uint64_t>(target));
    double const lost = r.text ? r.text->kl_nats.mean / std::numbers::ln2 : kl_bits;
    if (i == n_rounds || std::abs(lost / kl_bits - 1.0) < 0.03) return r;
    target = std::clamp(target * std::pow(kl_bits / std::max(lost, kl_bits / 16), 1.2), 1.0, 1e9);
  }
}

}  // namespace harness
