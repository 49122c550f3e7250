// SPDX-License-Identifier: Apache-2.0
/// @file
/// What every replay is measured against: the best that is possible, chance, and a fixed choice.
#pragma once

#include <buddy/cache_budget.hpp>
#include <buddy/counters.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/replay.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/types.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// Look-ups and hits of one replay, prefill apart from decode.
struct phase_counts {
  std::array<buddy::replay_count, buddy::n_phases> by_phase{};
  std::vector<buddy::replay_count> layers;  ///< [n_layers] decode

  [[nodiscard]] buddy::replay_count const& decode() const noexcept {
    return by_phase[static_cast<std::size_t>(buddy::phase::decode)];
  }
};

[[nodiscard]] inline double hit_rate(buddy::replay_count const& c) noexcept {
  return c.lookups == 0 ? 0.0 : static_cast<double>(c.hits) / static_cast<double>(c.lookups);
}

/// All with the same bytes and the same pools.
struct replay_bounds {
  phase_counts belady;  ///< knows the future
  phase_counts random;  ///< evicts by lot
  /// The experts that these very tokens ask for most often, never evicted: hindsight, which no engine has.
  phase_counts static_top;
};

/// @param parts  each meets an empty cache
[[nodiscard]] replay_bounds bounds_of(std::span<buddy::routing_trace const> parts, buddy::model_shape const& shape,
                                      buddy::cache_budget const& budget, std::uint64_t seed);

/// Slots of the whole budget.
[[nodiscard]] std::uint64_t slots_of(buddy::model_shape const& shape, buddy::cache_budget const& budget);

}  // namespace harness
