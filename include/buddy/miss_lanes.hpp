// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which of the experts that a batch would fetch the CPU computes instead.
///
/// Source: Fiddler, arXiv:2402.07033 (an expert goes where it is done sooner); the q* split of FreeToken (both lanes
/// work at once, so that neither waits). Differs from them: whole nanoseconds instead of bandwidths.
#pragma once

#include <buddy/error.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// How the missing experts that got no stand-in are divided.
enum class lane_rule : std::uint8_t {
  fixed,    ///< all take `policy_config::on_refused`
  fiddler,  ///< each expert by itself: to the CPU when that takes less time than its copy
  q_star,   ///< so many are fetched that link and CPU end together; those used last are fetched first
};

/// The rule, and what the two lanes cost *while both work*: they share the host's memory.
struct miss_lanes {
  lane_rule rule{lane_rule::fixed};
  std::uint64_t fetch_ns{};  ///< one record over the link
  std::uint64_t host_ns{};   ///< one expert for one token on the CPU
};

/// Longest time of one expert that the rules take: an hour.
inline constexpr std::uint64_t max_lane_ns = 3'600'000'000'000;

/// @throws config_error when a rule has no costs, or ones beyond an hour
inline void validate(miss_lanes const& lanes) {
  if (lanes.rule == lane_rule::fixed) return;
  auto const sane = [](std::uint64_t ns) { return ns != 0 && ns <= max_lane_ns; };
  if (!sane(lanes.fetch_ns) || !sane(lanes.host_ns))
    detail::throw_config_error("buddy::miss_lanes: fetch_ns and host_ns must be in [1, 3.6e12]");
}

/// Fiddler's rule for one expert that `n_tokens` of the batch ask for.
[[nodiscard]] constexpr bool host_is_sooner(miss_lanes const& lanes, std::uint32_t n_tokens) noexcept {
  return n_tokens * lanes.host_ns < lanes.fetch_ns;
}

/// How many of `m` misses are fetched while the CPU computes the others: the smaller f that makes
/// max(f fetch_ns, (m - f) host_ns) least.
///
/// With phi = host_ns / (fetch_ns + host_ns), the link's share of the joint rate, that is floor(m phi) or one more.
/// @pre fetch_ns + host_ns != 0; m below 2^20
[[nodiscard]] constexpr std::uint32_t q_star_fetches(miss_lanes const& lanes, std::uint32_t m) noexcept {
  auto const fewer = static_cast<std::uint32_t>(m * lanes.host_ns / (lanes.fetch_ns + lanes.host_ns));
  auto const longest = [&](std::uint32_t f) {
    std::uint64_t const link = f * lanes.fetch_ns;
    std::uint64_t const cpu = (m - f) * lanes.host_ns;
    return link > cpu ? link : cpu;
  };
  return fewer < m && longest(fewer + 1) < longest(fewer) ? fewer + 1 : fewer;
}

}  // namespace buddy::inline v0
