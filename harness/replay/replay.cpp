// SPDX-License-Identifier: Apache-2.0
/// @file
/// One token is one step, in prefill too: a trace does not say how a prompt was cut into batches.
#include "harness/replay/replay.hpp"

#include "harness/policy/compose.hpp"
#include "harness/sim/offload_clock.hpp"

#include <buddy/error.hpp>
#include <buddy/profile_builder.hpp>

#include <array>
#include <cstddef>
#include <vector>

namespace harness {

namespace {

clock_totals difference(clock_totals const& now, clock_totals const& before) {
  clock_totals d{now.layers - before.layers,
                 now.elapsed_ns - before.elapsed_ns,
                 now.stall_ns - before.stall_ns,
                 {},
                 now.background_cancelled - before.background_cancelled};
  for (std::size_t i = 0; i != d.link_bytes.size(); ++i) d.link_bytes[i] = now.link_bytes[i] - before.link_bytes[i];
  return d;
}

void add(clock_totals& sum, clock_totals const& x) {
  sum.layers += x.layers;
  sum.elapsed_ns += x.elapsed_ns;
  sum.stall_ns += x.stall_ns;
  sum.background_cancelled += x.background_cancelled;
  for (std::size_t i = 0; i != sum.link_bytes.size(); ++i) sum.link_bytes[i] += x.link_bytes[i];
}

/// Feeds one part to one policy.
class player {
 public:
  player(harness_policy& policy, offload_clock& clock, std::uint16_t top_k)
      : policy_{policy}, clock_{clock}, even_(top_k, 1.0F / static_cast<float>(top_k)) {}

  void play(buddy::routing_trace const& part, replay_result& r) {
    std::size_t t = 0;
    for (std::size_t const n : part.sequence_lengths) {
      policy_.begin_sequence();
      auto const before = policy_.total();
      std::uint64_t decoded = 0;
      for (std::size_t const end = t + n; t != end; ++t) {
        auto const time_before = clock_.totals();
        step(part, t);
        bool const decode = part.phase_of(t) == buddy::phase::decode;
        add(decode ? r.run.time : r.prefill_time, difference(clock_.totals(), time_before));
        decoded += decode ? 1 : 0;
      }
      auto const after = policy_.total();
      r.sequences.push_back({decoded, after.lookups - before.lookups, after.hits - before.hits});
      r.run.n_tokens += decoded;
    }
  }

 private:
  void step(buddy::routing_trace const& part, std::size_t t) {
    policy_.begin_step(part.phase_of(t));
    for (std::uint16_t l = 0; l != part.n_layers; ++l) {
      if (!part.has_record(t, l)) continue;
      clock_.begin_layer(policy_);
      buddy::routing routing = part.at(t, l);
      if (routing.weights.empty()) routing.weights = {even_.data(), static_cast<std::uint32_t>(even_.size())};
      clock_.run_layer(policy_, policy_.resolve(l, routing));
    }
  }

  harness_policy& policy_;
  offload_clock& clock_;
  std::vector<float> even_;  // gate weights of a trace without any
};

void describe(replay_result& r, replay_input const& input, policy_settings const& settings,
              buddy::cache_budget const& budget) {
  r.trace = input.file;
  r.slots = slots_of(input.shape, budget);
  r.run.kind = "replay";
  r.run.settings = settings;
  r.run.settings.pool = budget.layout;
  r.run.settings.cache_ratio = static_cast<double>(r.slots) / static_cast<double>(input.shape.n_keys());
  r.run.model = input.head().model;
  r.run.machine = input.machine;
  r.run.shape = input.charged;
  r.run.seed = settings.seed;
  r.run.n_layers = input.shape.n_layers;
  r.run.layers.resize(input.shape.n_layers);
}

}  // namespace

void require_replayable(policy_settings const& s, buddy::routing_trace const& trace) {
  auto const refuse = [&](std::string const& what, char const* needs) {
    throw buddy::config_error("policy '" + s.name + "': " + what + " needs " + needs +
                              ", which this trace does not have");
  };
  char const* const scores = "the router's scores of all experts";
  if (s.selector == "live_score" || s.selector == "cache_prior" || s.selector == "rank_window")
    refuse("selector " + s.selector, scores);
  if (s.predictor == "next_gate") refuse("predictor next_gate", "what the routers read");
  if (s.route_ahead != 0) refuse("--route-ahead", "what the routers read");
  if (needs_low_precision(s)) refuse("selector " + s.selector, "low-precision copies");
  if (s.sensitivity == "score_gate") refuse("sensitivity score_gate", scores);
  if (s.selector == "coactivation" && s.eta != 0.0) refuse("--eta", scores);
  if (s.rules.weights == buddy::weight_mode::own && s.selector != "none") refuse("--weights own", scores);
  if (trace.weights.empty() && s.sensitivity != "never" && s.sensitivity != "always")
    refuse("sensitivity " + s.sensitivity, "gate weights");
}

replay_result replay(replay_input const& input, policy_settings const& settings, buddy::cache_budget const& budget,
                     timeline* drawn) {
  replay_result r;
  describe(r, input, settings, budget);
  policy_settings const here = priced(settings, input.machine, input.charged);
  for (buddy::routing_trace const& part : input.parts) {
    composed_policy composed{here, input.shape, needs_profile(settings) ? &input.hindsight : nullptr, budget};
    offload_clock clock{input.machine, input.charged, drawn};
    player{composed.policy(), clock, input.shape.top_k}.play(part, r);
    r.run.total += composed.policy().total();
    r.prefill += composed.policy().total(buddy::phase::prefill);
    for (std::uint16_t l = 0; l != input.shape.n_layers; ++l) r.run.layers[l] += composed.policy().counters(l);
  }
  return r;
}

buddy::profile hindsight_of(std::vector<buddy::routing_trace> const& parts, buddy::model_shape const& shape) {
  buddy::profile_builder builder{shape, parts.front().model};
  for (buddy::routing_trace const& part : parts) {
    std::size_t t = 0;
    for (std::size_t const n : part.sequence_lengths) {
      builder.begin_sequence();
      for (std::size_t const end = t + n; t != end; ++t)
        for (std::uint16_t l = 0; l != part.n_layers; ++l)
          if (part.has_record(t, l)) builder.observe(l, part.at(t, l));
    }
  }
  return builder.finish();
}

}  // namespace harness
