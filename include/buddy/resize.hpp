// SPDX-License-Identifier: Apache-2.0
/// @file
/// Gives a cache another budget at run time, and says which records must be copied for it.
#pragma once

#include <buddy/cache_budget.hpp>
#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/error.hpp>
#include <buddy/slot_cache.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace buddy::inline v0 {

/// A record that must be at `to` before the new cache is used. Slots are those of the old and of the new cache.
struct record_move {
  expert_key expert;
  slot_id from;
  slot_id to;

  constexpr bool operator==(record_move const&) const = default;
};

/// What `resize` made; the old cache is as it was.
template <eviction_policy Eviction>
struct resized {
  slot_cache<Eviction> cache;
  std::vector<record_move> moves;  ///< every expert that stays, the least worthy first
  std::vector<expert_key> left;    ///< residents for which there is no room, the least worthy first
};

/// A cache of another budget that holds the most worthy residents that fit. Cold: allocates.
///
/// Call it between batches. Then the host copies the records of `moves` as if all at once: one may go where another
/// comes from, so it copies into new memory, or through a spare record. Then `policy.cache() = std::move(r->cache)`;
/// the rest of a policy keeps tables by expert, which stay true, but for one by slot from which the governor of
/// prefetches guesses who left: until it is overwritten some of its samples are lost. Plans and leases of before are
/// void.
///
/// The eviction policy is new: it is told of the residents in the order of their worth, which is all that a policy by
/// recency or by age knows. Counts of uses, ghosts and learnt targets start anew, and so does `evictions()`.
/// @param eviction_arguments  as for the constructor of `slot_cache`
/// @returns nothing when a record is leased or in flight: end those first
/// @throws config_error when the budget does not hold one record of every layer or names records of other sizes
template <eviction_policy Eviction, class... Arguments>
  requires std::copyable<Eviction> && std::constructible_from<Eviction, std::size_t, Arguments const&...>
[[nodiscard]] std::optional<resized<Eviction>> resize(slot_cache<Eviction> const& old, cache_budget const& budget,
                                                      Arguments const&... eviction_arguments) {
  resized<Eviction> made{slot_cache<Eviction>(old.shape(), budget, eviction_arguments...), {}, {}};
  for (std::uint16_t l = 0; l != old.shape().n_layers; ++l)
    if (made.cache.record_bytes(l) != old.record_bytes(l))
      detail::throw_config_error("buddy::resize: the budget must name the layer_bytes of the cache that is resized");
  if (!old.at_rest()) return std::nullopt;
  auto const held = old.by_worth();
  auto const staying = made.cache.worthiest_that_fit({held.data(), static_cast<std::uint32_t>(held.size())});
  made.cache.warm({staying.data(), static_cast<std::uint32_t>(staying.size())});
  for (expert_key const k : held) {
    if (made.cache.where(k) == residency::absent) {
      made.left.push_back(k);
    } else {
      made.moves.push_back({k, old.slot_of(k), made.cache.slot_of(k)});
    }
  }
  return made;
}

}  // namespace buddy::inline v0
