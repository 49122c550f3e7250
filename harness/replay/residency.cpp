// SPDX-License-Identifier: Apache-2.0
/// @file
/// Flags against flags, slot by slot.
#include "harness/replay/residency.hpp"

#include <buddy/cache_budget.hpp>
#include <buddy/error.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/slot_cache.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace harness {

namespace {

using lru_cache = buddy::slot_cache<buddy::eviction::lru>;

/// Distinct experts of these tokens at one layer, rising: the order in which the engine reads them.
std::vector<std::uint16_t> experts_of(buddy::routing_trace const& trace, std::size_t first, std::size_t count,
                                      std::uint16_t layer) {
  std::vector<std::uint16_t> ids;
  for (std::size_t t = first; t != first + count; ++t)
    if (trace.has_record(t, layer))
      for (std::uint16_t const e : trace.at(t, layer).experts) ids.push_back(e);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

/// One batch: what it hits stays, then its misses enter; they are copied before the next layer runs.
void look_up(lru_cache& cache, buddy::step_clock const& now, std::vector<std::uint16_t> const& experts) {
  cache.begin_batch(now);
  for (std::uint16_t const e : experts)
    if (auto const slot = cache.slot_of({now.layer, e}); slot != buddy::no_slot) cache.protect(slot);
  for (std::uint16_t const e : experts) {
    if (auto const slot = cache.slot_of({now.layer, e}); slot != buddy::no_slot) {
      cache.touch(slot);
    } else if (auto const entered = cache.reserve({now.layer, e}); entered != buddy::no_slot) {
      cache.commit(entered);
    }
  }
}

/// Compares what one decoded token finds with what was recorded.
void compare(residency_check& check, buddy::routing_trace const& trace, lru_cache const& cache, std::size_t t,
             std::uint16_t l) {
  auto const experts = trace.at(t, l).experts;
  for (std::uint32_t s = 0; s != experts.size; ++s) {
    bool const recorded = trace.resident[(t * trace.n_layers + l) * trace.top_k + s] != 0;
    bool const held = cache.slot_of({l, experts[s]}) != buddy::no_slot;
    ++check.slots;
    check.recorded_hits += recorded ? 1 : 0;
    check.replayed_hits += held ? 1 : 0;
    check.agreed += recorded == held ? 1 : 0;
  }
}

/// Tokens from `first` on that the engine ran as one batch: a prompt, or one decoded token.
std::size_t batch_from(buddy::routing_trace const& trace, std::size_t first) {
  std::size_t end = first + 1;
  if (trace.phase_of(first) == buddy::phase::prefill)
    while (end != trace.n_tokens() && trace.phase_of(end) == buddy::phase::prefill) ++end;
  return end - first;
}

}  // namespace

residency_check check_residency(buddy::routing_trace const& trace, std::uint64_t budget_bytes) {
  if (trace.resident.empty()) throw buddy::config_error("the trace has no residency flags to compare with");
  if (trace.record_bytes.empty()) throw buddy::config_error("the trace has no sizes of records");
  buddy::model_shape const shape = trace.shape(*std::max_element(trace.record_bytes.begin(), trace.record_bytes.end()));
  lru_cache cache{shape, {budget_bytes, buddy::pool_layout::global, trace.record_bytes}};
  residency_check check;
  for (std::size_t t = 0; t != trace.n_tokens();) {
    std::size_t const count = batch_from(trace, t);
    for (std::uint16_t l = 0; l != trace.n_layers; ++l) {
      bool const decoded = trace.phase_of(t) == buddy::phase::decode;
      if (decoded && trace.has_record(t, l)) compare(check, trace, cache, t, l);
      look_up(cache, {t + 1, l, trace.n_layers}, experts_of(trace, t, count, l));
    }
    t += count;
  }
  return check;
}

}  // namespace harness
