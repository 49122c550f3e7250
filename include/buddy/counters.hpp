// SPDX-License-Identifier: Apache-2.0
/// @file
/// What is counted, layer by layer, apart for prefill and decode.
#pragma once

#include <buddy/resolution.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace buddy::inline v0 {

/// Prompts come as many tokens at once and answer no one while they run: their figures are kept apart.
enum class phase : std::uint8_t { prefill, decode };

inline constexpr std::size_t n_phases = 2;

/// Counts of one layer in one phase. A look-up is one *distinct* expert of one batch; a slot is one routed expert of
/// one token, so a batch of one token has as many of the one as of the other.
struct layer_counters {
  std::uint64_t tokens{};
  std::uint64_t lookups{};
  std::uint64_t hits{};                              ///< look-ups that found their expert resident
  std::array<std::uint64_t, n_resolutions> slots{};  ///< routed slots by `resolution`
  std::array<std::uint64_t, n_refusals> refusals{};  ///< missing slots by `refusal`; [none] got a stand-in
  std::uint64_t fetches{};                           ///< records copied while the layer waits
  std::uint64_t staged{};                            ///< of these, copied to staging since nothing could leave
  std::uint64_t waits{};                             ///< demands that found a prefetch or refill still under way
  std::uint64_t refills{};                           ///< background copies planned after a miss
  std::uint64_t prefetches{};                        ///< copies planned because of a prediction
  std::uint64_t useful_prefetches{};                 ///< of these, asked for before they left
  std::uint64_t late_prefetches{};                   ///< of the useful ones, asked for while still under way
  std::uint64_t wasted_prefetches{};                 ///< left without being asked for; counted when they come again
  std::uint64_t cancelled_refills{};                 ///< refills cancelled, in the phase of the cancellation
  std::uint64_t cancelled_prefetches{};              ///< prefetches cancelled, in the phase of the cancellation
  std::uint64_t stand_in_rank_sum{};                 ///< sum of `rank` over the slots that ended as `buddy`

  constexpr layer_counters& operator+=(layer_counters const& o) noexcept {
    tokens += o.tokens;
    lookups += o.lookups;
    hits += o.hits;
    for (std::size_t i = 0; i != n_resolutions; ++i) slots[i] += o.slots[i];
    for (std::size_t i = 0; i != n_refusals; ++i) refusals[i] += o.refusals[i];
    fetches += o.fetches;
    staged += o.staged;
    waits += o.waits;
    refills += o.refills;
    prefetches += o.prefetches;
    useful_prefetches += o.useful_prefetches;
    late_prefetches += o.late_prefetches;
    wasted_prefetches += o.wasted_prefetches;
    cancelled_refills += o.cancelled_refills;
    cancelled_prefetches += o.cancelled_prefetches;
    stand_in_rank_sum += o.stand_in_rank_sum;
    return *this;
  }

  /// What was counted since `o`. @pre o was these counters at an earlier time
  constexpr layer_counters& operator-=(layer_counters const& o) noexcept {
    tokens -= o.tokens;
    lookups -= o.lookups;
    hits -= o.hits;
    for (std::size_t i = 0; i != n_resolutions; ++i) slots[i] -= o.slots[i];
    for (std::size_t i = 0; i != n_refusals; ++i) refusals[i] -= o.refusals[i];
    fetches -= o.fetches;
    staged -= o.staged;
    waits -= o.waits;
    refills -= o.refills;
    prefetches -= o.prefetches;
    useful_prefetches -= o.useful_prefetches;
    late_prefetches -= o.late_prefetches;
    wasted_prefetches -= o.wasted_prefetches;
    cancelled_refills -= o.cancelled_refills;
    cancelled_prefetches -= o.cancelled_prefetches;
    stand_in_rank_sum -= o.stand_in_rank_sum;
    return *this;
  }

  constexpr bool operator==(layer_counters const&) const = default;

  [[nodiscard]] constexpr std::uint64_t slots_ending(resolution r) const noexcept {
    return slots[static_cast<std::size_t>(r)];
  }
  [[nodiscard]] constexpr std::uint64_t refused(refusal why) const noexcept {
    return refusals[static_cast<std::size_t>(why)];
  }
};

}  // namespace buddy::inline v0
