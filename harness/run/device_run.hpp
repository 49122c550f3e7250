// SPDX-License-Identifier: Apache-2.0
/// @file
/// Sequences through a model on a GPU under a policy.
#pragma once

#include "harness/model/cuda/device_decoder.hpp"
#include "harness/run/early_router.hpp"
#include "harness/run/measured_host.hpp"
#include "harness/run/measured_time.hpp"
#include "harness/run/policy_moe.hpp"
#include "harness/run/stepped.hpp"
#include "harness/sim/charged_shape.hpp"
#include "harness/sim/hardware.hpp"
#include "harness/sim/offload_clock.hpp"

#include <buddy/trace_recorder.hpp>
#include <buddy/types.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace harness {

/// A decoder that is timed.
template <class Decoder>
class stopwatch {
 public:
  explicit stopwatch(Decoder& d) : decoder_{&d} {}

  void begin_sequence() noexcept { decoder_->begin_sequence(); }

  template <class Moe>
  std::span<float const> step(std::uint8_t token, Moe& moe) {
    using clock = std::chrono::steady_clock;
    auto const begin = clock::now();
    auto const logits = decoder_->step(token, moe);
    auto const took = std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now() - begin);
    elapsed_ns_ += static_cast<std::uint64_t>(took.count());
    ++n_steps_;
    return logits;
  }

  [[nodiscard]] std::uint64_t elapsed_ns() const noexcept { return elapsed_ns_; }
  [[nodiscard]] std::uint64_t n_steps() const noexcept { return n_steps_; }

 private:
  Decoder* decoder_;
  std::uint64_t elapsed_ns_{};
  std::uint64_t n_steps_{};
};

/// The exact model of a device: every expert has the slot of its own number.
class all_in_slots {
 public:
  explicit all_in_slots(std::uint32_t n_experts) : n_experts_{n_experts} {}

  void begin_sequence() noexcept {}
  void begin_step() noexcept {}
  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const>) noexcept {
    for (std::size_t i = 0; i != routed.experts.size(); ++i)
      uses_[i] = {routed.experts[i], routed.weights[i], buddy::slot_id{layer * n_experts_ + routed.experts[i]}};
    return {uses_.data(), routed.experts.size()};
  }

 private:
  std::uint32_t n_experts_;
  std::array<expert_use, buddy::max_top_k> uses_{};
};

[[nodiscard]] inline evaluation_logits exact_logits_of(device_model const& model, std::span<sequence const> set) {
  model_config const& c = model.host().config();
  device_slots slots{model, c.n_layers * c.n_experts};
  for (std::uint16_t l = 0; l != c.n_layers; ++l)
    for (std::uint16_t e = 0; e != c.n_experts; ++e) slots.load({l, e}, buddy::slot_id{l * c.n_experts + e});
  device_decoder d{model, slots};
  all_in_slots moe{c.n_experts};
  evaluation_logits logits{c.vocab_size};
  step_through(d, set, moe, [&](std::span<float const> x) { logits.push(x); });
  return logits;
}

/// What came of a run.
struct device_run {
  evaluation_logits logits;
  clock_totals time;  ///< modelled, but for what the link has carried
  measured_time measured;
};

/// Fills the slots of what is resident at the start, then decodes.
/// @param policy    with the model's own record size
/// @param router    decides layers before their own; may be empty
/// @param recorder  may be null
template <class Policy>
[[nodiscard]] device_run run_on_device(device_model const& model, std::span<sequence const> set, Policy& policy,
                                       hardware const& machine, charged_shape const& shape,
                                       std::optional<early_router> router = {},
                                       buddy::trace_recorder* recorder = nullptr) {
  auto const capacity = static_cast<std::uint32_t>(policy.cache().capacity());
  device_slots slots{model, capacity + policy.shape().top_k};
  for (std::uint16_t l = 0; l != policy.shape().n_layers; ++l) {
    auto const slot_of = policy.cache().residents(l);
    for (std::uint16_t e = 0; e != slot_of.size; ++e)
      if (slot_of[e] != buddy::no_slot) slots.load({l, e}, slot_of[e]);
  }
  link_host real{slots, buddy::slot_id{capacity}, machine.link_gbps};
  offload_clock modelled{machine, shape};
  measured_host host{real, modelled, policy.shape()};
  policy_moe moe{policy, host, recorder};
  if (router) moe.route_ahead(std::move(*router));

  device_decoder d{model, slots};
  stopwatch timed{d};
  device_run run{evaluation_logits{model.host().config().vocab_size}, {}, {}};
  step_through(timed, set, moe, [&](std::span<float const> x) { run.logits.push(x); });
  run.time = modelled.totals();
  run.time.link_bytes = real.totals().bytes;
  run.time.background_cancelled = real.totals().background_cancelled;
  run.measured = {model.device_name(), timed.n_steps(), timed.elapsed_ns(), real.totals().stall_ns};
  return run;
}

}  // namespace harness
