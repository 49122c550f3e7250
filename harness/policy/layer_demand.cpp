// SPDX-License-Identifier: Apache-2.0
/// @file
/// Curves and accuracies from a trace, slots from both.
#include "harness/policy/layer_demand.hpp"

#include <buddy/cache_budget.hpp>
#include <buddy/error.hpp>
#include <buddy/io/trace_io.hpp>
#include <buddy/layer_split.hpp>
#include <buddy/policies/prediction/markov.hpp>

#include <algorithm>
#include <limits>

namespace harness {

namespace {

/// Right first guesses of each layer, in [0, 1].
std::vector<buddy::adapmoe_layer> first_guesses(buddy::routing_trace const& trace, buddy::token_range range) {
  buddy::prediction::markov markov{trace.shape(1), 1};
  std::vector<double> right(trace.n_layers);
  std::vector<double> all(trace.n_layers);
  std::size_t const first = std::min(range.first, trace.n_tokens());
  std::size_t const last = first + std::min(range.count, trace.n_tokens() - first);
  for (std::size_t t = first; t != last; ++t) {
    for (std::uint16_t l = 0; l != trace.n_layers; ++l) {
      if (!trace.has_record(t, l)) continue;
      auto const asked = trace.at(t, l);
      std::uint16_t guess = 0;
      bool const guessed = markov.predict(l, {&guess, 1}) == 1;
      bool const hit = guessed && std::find(asked.experts.begin(), asked.experts.end(), guess) != asked.experts.end();
      right[l] += hit ? 1.0 : 0.0;
      all[l] += 1.0;
      markov.observe(l, asked);
    }
  }
  std::vector<buddy::adapmoe_layer> layers(trace.n_layers);
  for (std::size_t l = 0; l != layers.size(); ++l) layers[l].accuracy = all[l] == 0.0 ? 0.0 : right[l] / all[l];
  return layers;
}

}  // namespace

layer_demand measure_demand(buddy::routing_trace const& trace, buddy::token_range range) {
  return {trace.shape(1), buddy::lru_hit_curves(trace, buddy::pool_layout::per_layer, range),
          first_guesses(trace, range)};
}

std::shared_ptr<layer_demand const> read_demand(std::string const& file, std::size_t n_tokens) {
  auto const count = n_tokens == 0 ? std::numeric_limits<std::size_t>::max() : n_tokens;
  return std::make_shared<layer_demand const>(measure_demand(buddy::io::read_trace(file), {0, count}));
}

std::vector<std::uint32_t> layer_slots(policy_settings const& settings, buddy::model_shape const& shape,
                                       std::uint64_t bytes) {
  if (settings.split == slot_split::uniform) return {};
  if (settings.pool != buddy::pool_layout::per_layer) throw buddy::config_error("a split needs --pool per-layer");
  if (!settings.demand) throw buddy::config_error("a split of the slots needs a trace: --split-trace FILE");
  if (!routes_alike(settings.demand->shape, shape))
    throw buddy::config_error("the trace of the split is of another model");
  std::uint64_t const total = bytes / (shape.expert_bytes * shape.n_layers) * shape.n_layers;  // as many as evenly
  // A pool below top_k stages part of every token: no layer gets less, unless a uniform split gives all of them less.
  auto const least = static_cast<std::uint32_t>(std::min<std::uint64_t>(shape.top_k, total / shape.n_layers));
  if (settings.split == slot_split::adapmoe) return buddy::split_adapmoe(shape, settings.demand->adapmoe, total, least);
  return buddy::split_by_marginal_gain(settings.demand->curves, total, least);
}

}  // namespace harness
