// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which background copies give way to a layer: one rule for the modelled clock and for the hosts of real links.
#pragma once

#include <buddy/layer_plan.hpp>
#include <buddy/types.hpp>

#include <algorithm>

namespace harness {

/// Whether the layer waits for a copy of this expert that is under way already.
[[nodiscard]] inline bool is_awaited(buddy::expert_key key, buddy::layer_plan const& plan) noexcept {
  auto const is_it = [&](buddy::expert_copy const& c) { return c.expert == key; };
  return std::any_of(plan.waits.begin(), plan.waits.end(), is_it);
}

/// Whether a background copy is to be cancelled if it has not begun: everything that this layer does not need when the
/// layer waits for the link, else only prefetches for this layer, which come too late.
[[nodiscard]] inline bool gives_way(buddy::expert_copy const& copy, buddy::layer_plan const& plan) noexcept {
  bool const waits_for_link = !plan.fetches.empty() || !plan.waits.empty();
  bool const late = copy.why == buddy::copy_reason::prefetch && copy.expert.layer == plan.layer;
  return (waits_for_link || late) && !is_awaited(copy.expert, plan);
}

}  // namespace harness
