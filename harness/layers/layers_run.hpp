// SPDX-License-Identifier: Apache-2.0
/// @file
/// Modes of one stack on one machine, in turns.
#pragma once

#include "harness/layers/layer_engine.hpp"
#include "harness/layers/layer_mode.hpp"
#include "harness/layers/layers_result.hpp"
#include "harness/layers/routing_source.hpp"
#include "harness/policy/compose.hpp"
#include "harness/sim/layer_cost.hpp"
#include "harness/sim/timeline.hpp"

#include <buddy/counters.hpp>
#include <buddy/profile.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace harness {

/// What is run, on whatever machine.
struct layers_plan {
  layer_stack stack;
  step_routing routing;  ///< of warm-up and rounds
  std::vector<policy_settings> modes;
  std::vector<bool> exact;  ///< of each mode
  buddy::profile profile;   ///< counted on the warm-up's tokens
  bool prefill = false;
  std::uint32_t warm_steps = 32;
  std::uint32_t round_steps = 32;
  std::uint32_t n_rounds = 5;

  [[nodiscard]] std::size_t n_steps() const noexcept { return warm_steps + std::size_t{round_steps} * n_rounds; }
  [[nodiscard]] buddy::phase phase() const noexcept { return prefill ? buddy::phase::prefill : buddy::phase::decode; }
};

/// Slots of the largest cache among the modes.
[[nodiscard]] std::uint32_t slots_needed(layers_plan const& plan);

/// What is known of a result before anything has run. @param backend  modelled, cpu or cuda
[[nodiscard]] layers_result result_of(layers_plan const& plan, std::string backend);

/// Counts the tokens of the warm-up.
[[nodiscard]] buddy::profile profile_of_warm_up(layers_plan const& plan);

/// One mode with what it remembers from round to round.
template <layer_machine Machine>
class running_mode {
 public:
  /// @param priced  settings that know what the machine's lanes take
  running_mode(layers_plan const& plan, policy_settings const& priced, Machine& machine, timeline* drawn)
      : plan_(&plan),
        machine_(&machine),
        settings_(priced),
        routers_(views_of(plan.routing)),
        alone_(!plan.prefill && decides_alone(priced)),
        composed_(priced, plan.stack.shape(), &plan.profile,
                  {routers_.data(), static_cast<std::uint32_t>(routers_.size())}),
        engine_(machine, composed_.policy(), plan.routing.n_tokens, drawn),
        reader_(plan.routing) {}

  running_mode(running_mode const&) = delete;
  running_mode& operator=(running_mode const&) = delete;

  /// @returns seconds by the machine's clock
  double run(std::size_t first_step, std::size_t count) {
    if constexpr (self_deciding_machine<Machine>) machine_->begin_mode(settings_);
    engine_.load_residents();
    std::uint64_t const began = machine_->now_ns();
    for (std::size_t i = first_step; i != first_step + count; ++i) step(i);
    double const seconds = static_cast<double>(machine_->now_ns() - began) * 1e-9;
    engine_.drain();
    return seconds;
  }

  [[nodiscard]] buddy::layer_counters counts() const noexcept { return composed_.policy().total(plan_->phase()); }
  [[nodiscard]] engine_totals moved() const noexcept { return engine_.totals(); }

 private:
  void step(std::size_t i) {
    auto const routing_of = [&](std::uint16_t l) { return reader_.at(i, l); };
    if constexpr (self_deciding_machine<Machine>) {
      if (alone_) return engine_.step_ahead(plan_->phase(), i, routing_of);
    }
    engine_.step(plan_->phase(), routing_of);
  }

  static std::vector<buddy::view<float const>> views_of(step_routing const& r) {
    std::vector<buddy::view<float const>> views;
    for (auto const& m : r.routers) views.push_back({m.data(), static_cast<std::uint32_t>(m.size())});
    return views;
  }

  layers_plan const* plan_;
  Machine* machine_;
  policy_settings settings_;
  std::vector<buddy::view<float const>> routers_;
  bool alone_;  // the device needs no host in a step
  composed_policy composed_;
  layer_engine<Machine, harness_policy> engine_;
  layer_reader reader_;
};

/// All modes take their warm-up, then one round each, in turns: what disturbs one disturbs the next.
/// @param h      what the policies believe the lanes take
/// @param drawn  is told of the last mode's rounds, if it is the only one beside `all_resident`; may be null
/// @throws buddy::config_error when a policy cannot be made
template <layer_machine Machine>
[[nodiscard]] std::vector<mode_result> run_modes(layers_plan const& plan, hardware const& h, Machine& machine,
                                                 timeline* drawn = nullptr) {
  std::vector<std::unique_ptr<running_mode<Machine>>> running;
  std::vector<mode_result> results;
  for (std::size_t m = 0; m != plan.modes.size(); ++m) {
    policy_settings const& s = plan.modes[m];
    timeline* const own = m + 1 == plan.modes.size() ? drawn : nullptr;
    running.push_back(std::make_unique<running_mode<Machine>>(plan, priced(s, h, plan.stack.charged()), machine, own));
    static_cast<void>(running.back()->run(0, plan.warm_steps));
    results.push_back({s, plan.exact[m], {}, running.back()->counts(), running.back()->moved(), 0, {}});
  }
  for (std::uint32_t r = 0; r != plan.n_rounds; ++r) {
    for (std::size_t m = 0; m != running.size(); ++m) {
      if constexpr (requires { machine.begin_digest(); }) machine.begin_digest();
      results[m].seconds.push_back(
          running[m]->run(plan.warm_steps + std::size_t{r} * plan.round_steps, plan.round_steps));
      if constexpr (requires { machine.digest(); }) results[m].digest = results[m].digest * 31 + machine.digest();
    }
  }
  for (std::size_t m = 0; m != running.size(); ++m) {
    results[m].counts = running[m]->counts() -= results[m].counts;  // less the warm-up's
    results[m].moved = running[m]->moved() -= results[m].moved;
  }
  return results;
}

/// Floating point operations of one expert for one token.
[[nodiscard]] inline double flops_per_use(layer_stack const& s) noexcept {
  return 6.0 * s.record.hidden * s.record.width;
}

/// On the virtual clock.
/// @param drawn  as in `run_modes`
[[nodiscard]] layers_result run_modelled(layers_plan const& plan, hardware const& h, timeline* drawn = nullptr);

/// Fills in, where it is missing, what the cost model says of the same steps on a machine with these bandwidths.
void predict(layers_plan const& plan, layers_result& measured);

}  // namespace harness
