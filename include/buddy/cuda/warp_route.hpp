// SPDX-License-Identifier: Apache-2.0
/// @file
/// The router's top-k, computed by the 32 lanes of a warp: bit for bit what `buddy::route_token` writes.
#pragma once

#include <buddy/config.hpp>
#include <buddy/float_order.hpp>
#include <buddy/router.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0::cuda {

namespace detail {

/// The logits that one lane looks at, as integers that order alike: experts lane, lane + 32, ...; 0 where there is none
/// or it has been chosen.
template <std::uint32_t PerLane>
struct lane_keys {
  std::uint32_t key[PerLane];

  [[nodiscard]] BUDDY_HD constexpr std::uint32_t highest() const noexcept {
    std::uint32_t best = 0;
    for (std::uint32_t i = 0; i != PerLane; ++i) best = key[i] > best ? key[i] : best;
    return best;
  }

  /// Lowest expert of the lane that has this key, or none_found.
  [[nodiscard]] BUDDY_HD constexpr std::uint32_t first(std::uint32_t wanted, std::uint32_t lane) const noexcept {
    std::uint32_t found = 0xffff'ffffU;
    for (std::uint32_t i = PerLane; i-- != 0;) found = key[i] == wanted ? lane + 32 * i : found;
    return found;
  }

  BUDDY_HD constexpr void remove(std::uint32_t expert, std::uint32_t lane) noexcept {
    for (std::uint32_t i = 0; i != PerLane; ++i) key[i] = expert == lane + 32 * i ? 0 : key[i];
  }
};

template <std::uint32_t PerLane>
[[nodiscard]] BUDDY_HD constexpr lane_keys<PerLane> keys_of(view<float const> logits, std::uint32_t lane) noexcept {
  lane_keys<PerLane> keys{};
  for (std::uint32_t i = 0; i != PerLane; ++i) {
    std::uint32_t const e = lane + 32 * i;
    if (e < logits.size) keys.key[i] = buddy::detail::order_bits(logits[e]);
  }
  return keys;
}

/// The `chosen.size` experts with the largest logits; every lane writes all of them.
template <std::uint32_t PerLane, class Warp>
BUDDY_HD void top_k(Warp const& warp, view<float const> logits, view<std::uint16_t> chosen) noexcept {
  auto keys = warp.map([&](std::uint32_t lane) { return keys_of<PerLane>(logits, lane); });
  for (std::uint32_t s = 0; s != chosen.size; ++s) {
    auto const best = warp.map([&](std::uint32_t lane) { return warp.of(keys, lane).highest(); });
    std::uint32_t const highest = warp.max(best);
    auto const first = warp.map([&](std::uint32_t lane) { return warp.of(keys, lane).first(highest, lane); });
    std::uint32_t const winner = warp.min(first);
    warp.each([&](std::uint32_t lane) { warp.of(keys, lane).remove(winner, lane); });
    chosen[s] = static_cast<std::uint16_t>(winner);
  }
}

}  // namespace detail

/// Routes one token; `experts` and `weights` are memory of each lane's own, `scores` is written by all together.
/// @tparam PerLane  experts that one lane looks at: 32 * PerLane >= logits.size
/// @param scores    [n_experts] out; visible to all lanes afterwards
template <std::uint32_t PerLane, class Warp>
BUDDY_HD void route_token(Warp const& warp, view<float const> logits, router_rule const& rule,
                          view<std::uint16_t> experts, view<float> weights, view<float> scores) noexcept {
  detail::top_k<PerLane>(warp, logits, experts);
  float const top = logits[experts[0]];
  auto const parts = warp.map([&](std::uint32_t lane) {
    std::uint64_t sum = 0;
    for (std::uint32_t e = lane; e < logits.size; e += 32) sum += buddy::detail::softmax_part_q30(logits[e], top);
    return sum;
  });
  auto const sum = static_cast<float>(warp.sum(parts));
  warp.each([&](std::uint32_t lane) {
    for (std::uint32_t e = lane; e < logits.size; e += 32)
      scores[e] =
          rule.scores == score_function::sigmoid
              ? buddy::detail::sigmoid(logits[e])
              : buddy::detail::quotient(static_cast<float>(buddy::detail::softmax_part_q30(logits[e], top)), sum);
  });
  warp.sync();
  for (std::uint32_t s = 0; s != experts.size; ++s) weights[s] = scores[experts[s]];
  buddy::detail::finish_weights(rule, weights);
}

}  // namespace buddy::inline v0::cuda
