// SPDX-License-Identifier: Apache-2.0
/// @file
/// What one run found out.
#pragma once

#include "harness/policy/settings.hpp"
#include "harness/sim/charged_shape.hpp"
#include "harness/sim/hardware.hpp"
#include "harness/sim/offload_clock.hpp"

#include <buddy/counters.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace harness {

/// A mean over sequences or problems, and how far it may be off.
struct figure {
  double mean{};
  double standard_error{};
};

/// Of the text; empty when the run had none. The exact run is the same model with every expert resident.
struct text_quality {
  figure bits_per_byte;
  figure bits_per_byte_exact;
  figure change;          ///< bits per byte, run less exact, paired by sequence
  figure kl_nats;         ///< KL(exact || run) of the next byte
  figure top1_agreement;  ///< share of positions at which both have the same arg max
};

/// Of the synthetic tasks: share of problems answered without a wrong byte.
struct task_quality {
  std::map<std::string, figure> accuracy;
  std::map<std::string, figure> accuracy_exact;
  figure mean;  ///< over all tasks
  figure mean_exact;
};

struct run_result {
  std::string kind = "run";
  policy_settings settings;
  std::string model;  ///< folder's name
  hardware machine;
  charged_shape shape;
  std::uint64_t seed{};
  std::uint64_t n_tokens{};
  clock_totals time;
  std::uint16_t n_layers{};                   ///< of the model that ran
  buddy::layer_counters total;                ///< decode
  std::vector<buddy::layer_counters> layers;  ///< decode, [n_layers]
  std::optional<text_quality> text;
  std::optional<task_quality> tasks;

  /// Modelled: the mean time of a layer, times the layers of the charged shape.
  [[nodiscard]] double tokens_per_second() const noexcept {
    double const layer_ns = static_cast<double>(time.elapsed_ns) / static_cast<double>(time.layers);
    return 1e9 / (layer_ns * shape.n_layers);
  }
  [[nodiscard]] double stall_share() const noexcept {
    return static_cast<double>(time.stall_ns) / static_cast<double>(time.elapsed_ns);
  }
  /// Of the charged shape.
  [[nodiscard]] double link_bytes_per_token(std::uint64_t bytes) const noexcept {
    return static_cast<double>(bytes) / static_cast<double>(time.layers) * shape.n_layers;
  }
  [[nodiscard]] double hit_rate() const noexcept {
    return total.lookups == 0 ? 0.0 : static_cast<double>(total.hits) / static_cast<double>(total.lookups);
  }
  /// Share of the routed slots that ended like this.
  [[nodiscard]] double share(buddy::resolution r) const noexcept {
    std::uint64_t all = 0;
    for (auto const n : total.slots) all += n;
    return all == 0 ? 0.0 : static_cast<double>(total.slots_ending(r)) / static_cast<double>(all);
  }
};

}  // namespace harness
