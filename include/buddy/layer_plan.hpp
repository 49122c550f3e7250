// SPDX-License-Identifier: Apache-2.0
/// @file
/// What comes out: where each routed slot is computed, and what must move first.
#pragma once

#include <buddy/counters.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0 {

/// One routed slot of one token, resolved.
struct assignment {
  std::uint16_t expert{};  ///< which expert's weights are used; the missing expert itself for `host`, `fetch`, `drop`
  resolution how{resolution::own};
  refusal why{refusal::none};
  slot_id slot{no_slot};  ///< where they are; `no_slot` for `host`, `drop`, and a `fetch` that goes through staging
  float weight{};         ///< factor of the expert's output; 0 for `drop`
  std::uint16_t rank{};   ///< the stand-in's place in the selector's order, from 0; only for `buddy`
};

namespace detail {

inline void count_miss(assignment const& a, layer_counters& count) noexcept {
  ++count.slots[static_cast<std::size_t>(a.how)];
  ++count.refusals[static_cast<std::size_t>(a.why)];
  if (a.how == resolution::buddy) count.stand_in_rank_sum += a.rank;
}

}  // namespace detail

/// Why bytes move.
enum class copy_reason : std::uint8_t { demand, prefetch, refill };

/// One record to copy from slow to fast memory.
///
/// `slot` is `no_slot` when nothing could make room: such a demand copy goes to a staging buffer of the host engine, is
/// used once and must not be committed.
struct expert_copy {
  expert_key expert;
  slot_id slot{no_slot};
  std::uint64_t bytes{};
  copy_reason why{copy_reason::demand};
};

/// The decision for one layer of one step. Views into the policy: valid until its next `resolve`.
struct layer_plan {
  std::uint16_t layer{};
  std::uint32_t n_tokens{};
  std::uint32_t top_k{};
  view<assignment const> assignments;      ///< [n_tokens, top_k], in the router's order
  view<expert_copy const> fetches;         ///< submit now; the layer needs them
  view<expert_copy const> waits;           ///< already submitted by a prefetch; the layer needs them too
  view<std::uint16_t const> host_experts;  ///< distinct experts that the CPU computes
  view<expert_copy const> refills;         ///< submit in the background; nothing waits for them
  /// [n_tokens, top_k] expected loss of each stand-in in micro-bits, 0 for the rest; empty without `least_loss`, and
  /// when the batch missed nothing.
  view<std::uint32_t const> losses_ub{};

  [[nodiscard]] constexpr assignment const& at(std::uint32_t token, std::uint32_t s) const noexcept {
    return assignments[token * top_k + s];
  }
};

}  // namespace buddy::inline v0
