// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the modes of one stack did on one machine.
#pragma once

#include "harness/layers/layer_engine_totals.hpp"
#include "harness/layers/layer_stack.hpp"
#include "harness/policy/settings.hpp"
#include "harness/sim/hardware.hpp"

#include <buddy/counters.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace harness {

/// Lower and upper end and the middle of some samples.
struct sample_spread {
  double least{};
  double median{};
  double most{};
};

/// @pre not empty
[[nodiscard]] inline sample_spread spread_of(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  std::size_t const n = samples.size();
  double const median = n % 2 == 1 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
  return {samples.front(), median, samples.back()};
}

struct mode_result {
  policy_settings settings;
  bool exact{};
  std::vector<double> seconds;      ///< [n_rounds] of the steps of one round
  buddy::layer_counters counts;     ///< of all rounds
  engine_totals moved;              ///< in all rounds
  std::uint64_t digest{};           ///< of all outputs of all rounds; 0 where nothing is computed
  std::optional<double> predicted;  ///< tokens a second by the cost model with this run's bandwidths
};

struct layers_result {
  layer_stack stack;
  std::string backend;  ///< modelled, cpu, cuda
  hardware machine;     ///< the modelled one, or this run's own bandwidths
  std::string routing;  ///< where it comes from
  double cache_ratio{};
  std::uint32_t n_tokens{};  ///< of a step
  bool prefill{};
  std::uint32_t round_steps{};
  std::uint64_t seed{};
  std::vector<mode_result> modes;

  [[nodiscard]] mode_result const* find(std::string_view name) const noexcept {
    for (mode_result const& m : modes)
      if (m.settings.name == name) return &m;
    return nullptr;
  }

  [[nodiscard]] sample_spread tokens_per_second(mode_result const& m) const {
    std::vector<double> rates;
    for (double const s : m.seconds) rates.push_back(round_steps * static_cast<double>(n_tokens) / s);
    return spread_of(std::move(rates));
  }

  /// How much faster one mode is than another, round by round.
  [[nodiscard]] sample_spread ratio(mode_result const& m, mode_result const& to) const {
    std::vector<double> ratios;
    for (std::size_t r = 0; r != m.seconds.size(); ++r) ratios.push_back(to.seconds[r] / m.seconds[r]);
    return spread_of(std::move(ratios));
  }

  /// Beyond what the layers take with every expert resident.
  [[nodiscard]] double stall_us_per_layer(mode_result const& m, mode_result const& resident) const {
    double const layers = static_cast<double>(round_steps) * stack.n_layers;
    return std::max(0.0, spread_of(m.seconds).median - spread_of(resident.seconds).median) * 1e6 / layers;
  }

  [[nodiscard]] double link_gbps(mode_result const& m) const {
    double all = 0.0;
    for (double const s : m.seconds) all += s;
    return static_cast<double>(m.moved.all_link_bytes()) / all * 1e-9;
  }
};

}  // namespace harness
