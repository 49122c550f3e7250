// SPDX-License-Identifier: Apache-2.0
/// @file
/// One pool of slots: a byte budget, a stack of free slots and the policy that names who leaves.
#pragma once

#include <buddy/cache_budget.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace buddy::inline v0::detail {

/// Sizes of one pool, before it is built.
struct pool_plan {
  std::uint32_t first{};     ///< its first slot
  std::uint32_t capacity{};  ///< slots; more than fit when records differ in size, so `byte_budget` decides too
  std::uint64_t byte_budget{};
};

/// Bytes of one record of every layer.
/// @throws config_error when they are 2^64 or more, which no budget holds
inline std::uint64_t one_of_each(std::vector<std::uint64_t> const& record_bytes) {
  std::uint64_t sum = 0;
  for (auto const bytes : record_bytes) {
    if (bytes > std::numeric_limits<std::uint64_t>::max() - sum)
      throw_config_error("buddy::slot_cache: one record of every layer must be below 2^64 bytes");
    sum += bytes;
  }
  return sum;
}

/// Pools of the sizes that the budget names.
/// @throws config_error when a layer has no slot or more than it has experts, or when they do not fit in the budget
inline std::vector<pool_plan> plan_named_pools(std::vector<std::uint64_t> const& record_bytes,
                                               cache_budget const& budget, std::uint32_t n_experts) {
  if (budget.layout == pool_layout::global)
    throw_config_error("buddy::cache_budget: layer_slots are for per-layer pools, not for a global one");
  if (budget.layer_slots.size() != record_bytes.size())
    throw_config_error("buddy::cache_budget: layer_slots must have one entry for each layer");
  std::vector<pool_plan> plans;
  std::uint32_t first = 0;
  std::uint64_t left = budget.bytes;
  for (std::size_t l = 0; l != record_bytes.size(); ++l) {
    std::uint32_t const slots = budget.layer_slots[l];
    if (slots == 0 || slots > n_experts)
      throw_config_error("buddy::cache_budget: layer_slots must be in [1, n_experts]");
    if (record_bytes[l] > left / slots) throw_config_error("buddy::cache_budget: layer_slots do not fit in the bytes");
    plans.push_back({first, slots, slots * record_bytes[l]});
    left -= plans.back().byte_budget;
    first += slots;
  }
  return plans;
}

/// Divides a budget: a per-layer pool holds the records it was given, else as many of its layer as every other; a
/// global one whatever fits.
/// @throws config_error when a layer would have no slot, or `layer_slots` cannot be
inline std::vector<pool_plan> plan_pools(std::vector<std::uint64_t> const& record_bytes, cache_budget const& budget,
                                         std::uint32_t n_experts) {
  if (!budget.layer_slots.empty()) return plan_named_pools(record_bytes, budget, n_experts);
  std::vector<pool_plan> plans;
  if (budget.layout == pool_layout::global) {
    auto const [smallest, largest] = std::minmax_element(record_bytes.begin(), record_bytes.end());
    if (budget.bytes < *largest) throw_config_error("buddy::slot_cache: the budget must hold at least one record");
    auto const slots = std::min<std::uint64_t>(budget.bytes / *smallest, n_experts * record_bytes.size());
    plans.push_back({0, static_cast<std::uint32_t>(slots), budget.bytes});
    return plans;
  }
  auto const slots = std::min<std::uint64_t>(budget.bytes / one_of_each(record_bytes), n_experts);
  if (slots == 0) throw_config_error("buddy::slot_cache: the budget must hold at least one record of every layer");
  for (std::size_t l = 0; l != record_bytes.size(); ++l)
    plans.push_back(
        {static_cast<std::uint32_t>(l * slots), static_cast<std::uint32_t>(slots), slots * record_bytes[l]});
  return plans;
}

/// One pool; `Eviction` speaks of its slots from 0, everybody else of the cache's slots.
template <class Eviction>
struct slot_pool {
  slot_pool(pool_plan const& plan, Eviction policy)
      : first(plan.first), capacity(plan.capacity), byte_budget(plan.byte_budget), eviction(std::move(policy)) {
    free.reserve(plan.capacity);
    for (std::uint32_t s = plan.capacity; s != 0; --s) free.push_back(static_cast<slot_id>(first + s - 1));
  }

  [[nodiscard]] slot_id local(slot_id s) const noexcept {
    return static_cast<slot_id>(static_cast<std::uint32_t>(s) - first);
  }
  [[nodiscard]] slot_id global(slot_id s) const noexcept {
    return static_cast<slot_id>(static_cast<std::uint32_t>(s) + first);
  }
  [[nodiscard]] bool fits(std::uint64_t bytes) const noexcept {
    return !free.empty() && bytes <= byte_budget - bytes_used;
  }
  /// Whether `bytes` fit once records of `leaving` bytes, at least one, have left. @pre leaving <= bytes_used
  [[nodiscard]] bool fits_after(std::uint64_t leaving, std::uint64_t bytes) const noexcept {
    return bytes <= byte_budget - (bytes_used - leaving);
  }
  [[nodiscard]] slot_id take_free() noexcept {
    slot_id const s = free.back();
    free.pop_back();
    return s;
  }
  void give_back(slot_id s) noexcept { free.push_back(s); }  // never beyond the capacity reserved above

  /// The slots in the order in which the policy gives them up when nothing happens in between; empties a copy of it.
  /// @param leaves  [capacity] whether the slot, counted from `first`, is to be listed
  template <std::copyable Copied = Eviction>
  [[nodiscard]] std::vector<slot_id> leaving_order(std::vector<std::uint8_t> leaves) const {
    auto policy = eviction;
    std::vector<slot_id> order;
    for (;;) {
      slot_id const s = policy.victim([&](slot_id c) noexcept { return leaves[static_cast<std::size_t>(c)] != 0; });
      if (s == no_slot) return order;
      leaves[static_cast<std::size_t>(s)] = 0;
      policy.on_erase(s);
      order.push_back(global(s));
    }
  }

  std::uint32_t first;
  std::uint32_t capacity;
  std::uint64_t byte_budget;
  std::uint64_t bytes_used = 0;
  std::vector<slot_id> free;  // lowest slot on top at the start
  Eviction eviction;
};

}  // namespace buddy::inline v0::detail
