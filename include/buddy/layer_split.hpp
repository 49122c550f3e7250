// SPDX-License-Identifier: Apache-2.0
/// @file
/// How many slots each layer gets of a budget that all share.
///
/// Source: marginal gain is the textbook answer for concave returns (Fox, Operations Research 14(2), 1966). Differs
/// from it: hit curves are not concave everywhere, so the gain is read off the concave hull of each.
#pragma once

#include <buddy/error.hpp>
#include <buddy/reuse_distances.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace buddy::inline v0 {

namespace detail {

/// A stretch of a concave hull: `gain` hits for `slots` more slots.
struct hull_step {
  std::size_t layer{};
  std::uint64_t gain{};
  std::uint64_t slots{};

  /// Steeper, exactly. @pre fewer than 2^53 look-ups, fewer than 2^11 slots
  [[nodiscard]] bool steeper_than(hull_step const& o) const noexcept { return gain * o.slots > o.gain * slots; }
};

/// The hull of a curve from `min_slots` on, as steps that never get steeper.
inline std::vector<hull_step> concave_hull(hit_curve const& curve, std::size_t layer, std::uint32_t min_slots) {
  std::vector<hull_step> steps;
  for (std::size_t c = min_slots; c < curve.max_slots(); ++c) {
    hull_step next{layer, curve.hits[c + 1] - curve.hits[c], 1};
    while (!steps.empty() && next.steeper_than(steps.back())) {
      next.gain += steps.back().gain;
      next.slots += steps.back().slots;
      steps.pop_back();
    }
    steps.push_back(next);
  }
  return steps;
}

/// Slots that may be given beyond the least; all that there are experts for, when there are more.
/// @throws config_error when there is no layer, or a layer cannot get its least
inline std::uint64_t spare_slots(std::vector<std::size_t> const& max_slots, std::uint64_t total,
                                 std::uint32_t min_slots) {
  if (max_slots.empty()) throw_config_error("buddy::layer_split: there must be at least one layer");
  if (min_slots == 0) throw_config_error("buddy::layer_split: min_slots must be at least 1");
  std::uint64_t most = 0;
  for (auto const slots : max_slots) {
    if (slots < min_slots) throw_config_error("buddy::layer_split: min_slots is more than a layer has experts");
    most += slots;
  }
  std::uint64_t const least = std::uint64_t{min_slots} * max_slots.size();
  if (total < least) throw_config_error("buddy::layer_split: too few slots to give min_slots to each layer");
  return std::min(total, most) - least;
}

inline std::vector<std::size_t> max_slots_of(std::vector<hit_curve> const& curves) {
  std::vector<std::size_t> max_slots;
  for (auto const& curve : curves) max_slots.push_back(curve.max_slots());
  return max_slots;
}

}  // namespace detail

/// Hits that the recorded look-ups would have got. @pre split[l] <= curves[l].max_slots()
[[nodiscard]] inline std::uint64_t expected_hits(std::vector<hit_curve> const& curves,
                                                 std::vector<std::uint32_t> const& split) noexcept {
  std::uint64_t sum = 0;
  for (std::size_t l = 0; l != curves.size(); ++l) sum += curves[l].hits[split[l]];
  return sum;
}

/// Each next slot goes where it brings most hits.
///
/// A step is a stretch of a hull; the steepest is taken first, ties go to the lower layer. Whenever the slots run out
/// at the end of a step, no split has more hits: the hulls are concave, bound the curves, and meet them there. Where a
/// curve is concave every step is one slot, so that is always. Otherwise one step is taken in part, and the hits are
/// below the best by less than the gain of that step.
/// @param curves       one for each layer
/// @param total_slots  what is beyond the number of experts is left over
/// @param min_slots    least for each layer: top_k, unless a token's experts may be staged
/// @returns [n_layers] slots, for `cache_budget::layer_slots`
/// @throws config_error when the slots do not suffice for the least, or a layer has fewer experts than that
/// Time O(n_layers x n_experts x log).
[[nodiscard]] inline std::vector<std::uint32_t> split_by_marginal_gain(std::vector<hit_curve> const& curves,
                                                                       std::uint64_t total_slots,
                                                                       std::uint32_t min_slots = 1) {
  std::uint64_t spare = detail::spare_slots(detail::max_slots_of(curves), total_slots, min_slots);
  std::vector<detail::hull_step> steps;
  for (std::size_t l = 0; l != curves.size(); ++l) {
    auto const hull = detail::concave_hull(curves[l], l, min_slots);
    steps.insert(steps.end(), hull.begin(), hull.end());
  }
  std::stable_sort(steps.begin(), steps.end(), [](auto const& a, auto const& b) { return a.steeper_than(b); });
  std::vector<std::uint32_t> split(curves.size(), min_slots);
  for (auto const& step : steps) {
    std::uint64_t const given = std::min(step.slots, spare);
    split[step.layer] += static_cast<std::uint32_t>(given);
    spare -= given;
  }
  return split;
}

namespace detail {

/// The split that costs least, by dynamic programming over layers and slots.
/// @param cost  double or integer cost(layer, slots)
/// Of equal splits it takes the one that gives the last layer fewest slots, then the one before, ...
template <class Value, class Cost>
std::vector<std::uint32_t> cheapest_split(std::vector<std::size_t> const& max_slots, std::uint64_t total,
                                          std::uint32_t min_slots, Cost const& cost) {
  auto const spare = static_cast<std::size_t>(spare_slots(max_slots, total, min_slots));
  std::vector<Value> best(spare + 1, Value{});  // of the layers so far, with exactly so many spare slots
  std::vector<bool> possible(spare + 1, false);
  possible[0] = true;
  std::vector<std::vector<std::uint32_t>> chosen(max_slots.size(), std::vector<std::uint32_t>(spare + 1));
  for (std::size_t l = 0; l != max_slots.size(); ++l) {
    std::vector<Value> next(spare + 1, Value{});
    std::vector<bool> next_possible(spare + 1, false);
    for (std::size_t s = 0; s <= spare; ++s) {
      for (std::size_t extra = 0; extra <= std::min(s, max_slots[l] - min_slots); ++extra) {
        if (!possible[s - extra]) continue;
        Value const value = best[s - extra] + cost(l, static_cast<std::uint32_t>(min_slots + extra));
        if (next_possible[s] && !(value < next[s])) continue;
        next[s] = value;
        next_possible[s] = true;
        chosen[l][s] = static_cast<std::uint32_t>(extra);
      }
    }
    best.swap(next);
    possible.swap(next_possible);
  }
  std::vector<std::uint32_t> split(max_slots.size(), min_slots);
  std::size_t left = spare;
  for (std::size_t l = max_slots.size(); l-- != 0;) {
    split[l] += chosen[l][left];
    left -= chosen[l][left];
  }
  return split;
}

}  // namespace detail

/// The split with the most hits, whatever the curves: what `split_by_marginal_gain` is measured against.
///
/// Parameters and errors as there. Time O(n_layers x total_slots x n_experts), memory O(n_layers x total_slots).
[[nodiscard]] inline std::vector<std::uint32_t> split_exactly(std::vector<hit_curve> const& curves,
                                                              std::uint64_t total_slots, std::uint32_t min_slots = 1) {
  return detail::cheapest_split<std::uint64_t>(
      detail::max_slots_of(curves), total_slots, min_slots,
      [&](std::size_t l, std::uint32_t slots) { return curves[l].lookups - curves[l].hits[slots]; });
}

}  // namespace buddy::inline v0
