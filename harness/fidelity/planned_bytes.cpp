// SPDX-License-Identifier: Apache-2.0
/// @file
/// Offers from a profile.
#include "harness/fidelity/planned_bytes.hpp"

#include "harness/policy/compose.hpp"
#include "harness/run/evaluation_set.hpp"
#include "harness/run/stepped.hpp"

#include <buddy/cache_budget.hpp>
#include <buddy/error.hpp>
#include <buddy/stand_in_losses.hpp>
#include <buddy/trace_recorder.hpp>

#include <utility>
#include <vector>

namespace harness {

namespace {

/// The exact model, written down.
class recording_moe {
 public:
  explicit recording_moe(buddy::trace_recorder& recorder) : recorder_{&recorder} {}

  void begin_sequence() noexcept { recorder_->begin_sequence(); }
  void begin_step() { recorder_->begin_step(1); }

  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) {
    auto const n = static_cast<std::uint32_t>(routed.experts.size());
    recorder_->record(layer, {{routed.experts.data(), n}, {routed.weights.data(), n}, {}, 1});
    return all_(layer, routed, input);
  }

 private:
  buddy::trace_recorder* recorder_;
  all_resident all_;
};

}  // namespace

buddy::routing_trace calibration_trace(weights const& model, std::uint32_t n_tokens, std::uint32_t seed) {
  auto const set = calibration_set({"builtin", true, n_tokens, seed}, model.config().max_positions);
  buddy::trace_recorder recorder{model.shape(), model.identity()};
  recording_moe moe{recorder};
  step_through(model, set, moe, [](std::span<float const>) {});
  return recorder.trace();
}

buddy::stand_in_plan plan_bytes(buddy::profile const& profile, buddy::model_shape const& shape,
                                buddy::routing_trace const& trace, double cache_ratio, double fetched) {
  if (profile.stand_ins.empty())
    throw buddy::config_error("the profile has no stand-ins to plan with; make one with --stand-ins");
  std::vector<buddy::expected_errors> losses;
  for (buddy::stand_in_set const& s : profile.stand_ins) losses.push_back(buddy::losses_of(profile, s.name, false));
  std::vector<buddy::stand_in_offer> offers;
  for (std::size_t i = 0; i != losses.size(); ++i)
    offers.push_back({charged_bytes(profile.stand_ins[i], profile, shape), losses[i].ref()});
  buddy::stand_in_planner planner{shape, std::move(offers)};
  planner.observe(trace);
  return planner.plan(buddy::cache_budget::from_ratio(shape, cache_ratio).bytes, fetched);
}

policy_settings with_plan(policy_settings settings, buddy::stand_in_plan const& plan, buddy::profile const& profile) {
  for (buddy::planned_layer const& l : plan.layers) {
    settings.loss.layer_stand_ins.push_back(profile.stand_ins[l.offer].name);
    settings.loss.layer_slots.push_back(l.slots);
  }
  return settings;
}

}  // namespace harness
