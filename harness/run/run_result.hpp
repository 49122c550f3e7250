// SPDX-License-Identifier: Apache-2.0
/// @file
/// What one run found out.
#pragma once

#include "harness/auto_eviction.hpp"
#include "harness/guard/guard_report.hpp"
#include "harness/policy/settings.hpp"
#include "harness/run/measured_time.hpp"
#include "harness/sim/charged_shape.hpp"
#include "harness/sim/hardware.hpp"
#include "harness/sim/offload_clock.hpp"
#include "harness/tasks/quality.hpp"

#include <buddy/counters.hpp>
#include <buddy/types.hpp>

#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace harness {

struct run_result {
  std::string kind = "run";
  policy_settings settings;
  std::string model;  ///< folder's name
  hardware machine;
  charged_shape shape;
  std::uint64_t seed{};
  std::uint64_t n_tokens{};
  clock_totals time;                                ///< modelled, but for the bytes that a measured link has carried
  std::optional<measured_time> measured;            ///< nothing when the CPU has run the model
  std::optional<guard_report> guard;                ///< of a guarded run; its audits are part of the time
  std::uint16_t n_layers{};                         ///< of the model that ran
  buddy::layer_counters total;                      ///< decode
  std::vector<buddy::layer_counters> layers;        ///< decode, [n_layers]
  std::vector<auto_eviction::report_type> choices;  ///< of eviction auto: of each pool
  std::vector<buddy::expert_key> residents;         ///< at the end, the least worthy first
  std::optional<text_metrics> text;                 ///< nothing when no text was read
  std::map<std::string, text_metrics> domains;      ///< the same, text by text
  std::map<std::string, task_metrics> tasks;        ///< empty when no problem was read

  [[nodiscard]] char const* timing() const noexcept { return measured ? "measured" : "modelled"; }

  /// Measured where a device has run the model, else modelled.
  [[nodiscard]] double tokens_per_second() const noexcept {
    return measured ? measured->tokens_per_second() : modelled_tokens_per_second();
  }
  [[nodiscard]] double stall_share() const noexcept {
    return measured ? measured->stall_share() : modelled_stall_share();
  }
  /// The mean time of a layer, times the layers of the charged shape.
  [[nodiscard]] double modelled_tokens_per_second() const noexcept {
    double const layer_ns = static_cast<double>(time.elapsed_ns) / static_cast<double>(time.layers);
    return 1e9 / (layer_ns * shape.n_layers);
  }
  [[nodiscard]] double modelled_stall_share() const noexcept {
    return static_cast<double>(time.stall_ns) / static_cast<double>(time.elapsed_ns);
  }
  /// Of the charged shape.
  [[nodiscard]] double link_bytes_per_token(std::uint64_t bytes) const noexcept {
    return static_cast<double>(bytes) / static_cast<double>(time.layers) * shape.n_layers;
  }
  /// Mean accuracy of the tasks, each counted alike. @pre there are tasks
  [[nodiscard]] estimate task_accuracy() const { return mean_of_tasks(&task_metrics::accuracy); }
  [[nodiscard]] estimate task_accuracy_exact() const { return mean_of_tasks(&task_metrics::accuracy_exact); }

  [[nodiscard]] double hit_rate() const noexcept {
    return total.lookups == 0 ? 0.0 : static_cast<double>(total.hits) / static_cast<double>(total.lookups);
  }
  /// Share of the routed slots that ended like this.
  [[nodiscard]] double share(buddy::resolution r) const noexcept {
    std::uint64_t all = 0;
    for (auto const n : total.slots) all += n;
    return all == 0 ? 0.0 : static_cast<double>(total.slots_ending(r)) / static_cast<double>(all);
  }

 private:
  [[nodiscard]] estimate mean_of_tasks(estimate task_metrics::* which) const {
    estimate all;
    auto const n = static_cast<double>(tasks.size());
    for (auto const& [name, metrics] : tasks) {
      all.mean += (metrics.*which).mean / n;
      all.standard_error += (metrics.*which).standard_error * (metrics.*which).standard_error;
    }
    all.standard_error = std::sqrt(all.standard_error) / n;
    return all;
  }
};

}  // namespace harness
