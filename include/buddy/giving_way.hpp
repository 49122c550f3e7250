// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which background copies give way to a layer: one rule for all hosts, whatever their link is.
#pragma once

#include <buddy/layer_plan.hpp>
#include <buddy/types.hpp>

#include <algorithm>

namespace buddy::inline v0 {

/// Whether the layer waits for a copy of this expert that is under way already.
[[nodiscard]] inline bool is_awaited(expert_key key, layer_plan const& plan) noexcept {
  auto const is_it = [&](expert_copy const& c) { return c.expert == key; };
  return std::any_of(plan.waits.begin(), plan.waits.end(), is_it);
}

/// Whether a refill or prefetch is to be cancelled if it has not begun: everything that this layer does not need when
/// the layer waits for the link, else only prefetches for this layer, which come too late.
///
/// The host asks it for each copy of its background queue, behind `resolve` and before it submits the plan's fetches,
/// and tells the policy of each that goes by `cancel`. Time O(waits).
[[nodiscard]] inline bool gives_way(expert_copy const& copy, layer_plan const& plan) noexcept {
  bool const waits_for_link = !plan.fetches.empty() || !plan.waits.empty();
  bool const late = copy.why == copy_reason::prefetch && copy.expert.layer == plan.layer;
  return (waits_for_link || late) && !is_awaited(copy.expert, plan);
}

}  // namespace buddy::inline v0
