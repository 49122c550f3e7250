// SPDX-License-Identifier: Apache-2.0
/// @file
/// Fast memory as slots: which expert is in which, who may leave, and what is on its way in.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/cache_budget.hpp>
#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/concepts/expert_cache.hpp>
#include <buddy/slot_pool.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace buddy::inline v0 {

/// Knows which expert is in which slot; owns no weights.
///
/// Finding is O(1): a table has one entry for each expert of the model. Entering costs what `Eviction` needs to name a
/// victim. Nothing allocates after construction. Not thread-safe: one cache belongs to one decoding thread, and several
/// caches live side by side (no global state).
/// @tparam Eviction chooses who leaves; one instance for each pool.
template <eviction_policy Eviction>
class slot_cache {
 public:
  /// @param eviction_arguments  handed to each pool's `Eviction` after its capacity
  /// @throws config_error when the shape is invalid or the budget does not hold one record of every layer
  template <class... Arguments>
    requires std::constructible_from<Eviction, std::size_t, Arguments const&...>
  slot_cache(model_shape const& shape, cache_budget const& budget, Arguments const&... eviction_arguments)
      : shape_(shape), record_bytes_((validate(shape), detail::record_sizes(shape, budget))) {
    ready_.assign(shape.n_keys(), no_slot);
    location_.assign(shape.n_keys(), no_slot);
    for (auto const& plan : detail::plan_pools(record_bytes_, budget, shape.n_experts)) {
      pools_.emplace_back(plan, Eviction(plan.capacity, eviction_arguments...));
      slots_.resize(slots_.size() + plan.capacity);
    }
  }

  [[nodiscard]] model_shape const& shape() const noexcept { return shape_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return slots_.size(); }
  /// The policy that serves `layer`: for its reports and for what it offers beyond the concept.
  [[nodiscard]] Eviction& eviction(std::uint16_t layer) noexcept { return pool_of(layer).eviction; }
  [[nodiscard]] Eviction const& eviction(std::uint16_t layer) const noexcept { return pool_of(layer).eviction; }
  [[nodiscard]] std::uint64_t record_bytes(std::uint16_t layer) const noexcept { return record_bytes_[layer]; }
  [[nodiscard]] std::uint64_t evictions() const noexcept { return evictions_; }
  /// Records of `layer` may be in the `n_slots(layer)` slots from `first_slot(layer)` on, and in no other.
  [[nodiscard]] slot_id first_slot(std::uint16_t layer) const noexcept { return pool_of(layer).global(slot_id{}); }
  [[nodiscard]] std::uint32_t n_slots(std::uint16_t layer) const noexcept { return pool_of(layer).capacity; }
  [[nodiscard]] std::uint64_t bytes_used() const noexcept {
    std::uint64_t sum = 0;
    for (auto const& pool : pools_) sum += pool.bytes_used;
    return sum;
  }

  [[nodiscard]] std::uint64_t byte_budget() const noexcept {
    std::uint64_t sum = 0;
    for (auto const& pool : pools_) sum += pool.byte_budget;
    return sum;
  }

  /// [n_experts] slots that can be read now, else `no_slot`; valid until the next change.
  [[nodiscard]] view<slot_id const> residents(std::uint16_t layer) const noexcept {
    return {ready_.data() + std::size_t{layer} * shape_.n_experts, shape_.n_experts};
  }

  [[nodiscard]] residency where(expert_key k) const noexcept {
    if (location_[shape_.index(k)] == no_slot) return residency::absent;
    return ready_[shape_.index(k)] == no_slot ? residency::in_flight : residency::resident;
  }

  /// The slot that holds `k` or will hold it, or `no_slot`.
  [[nodiscard]] slot_id slot_of(expert_key k) const noexcept { return location_[shape_.index(k)]; }

  /// A new batch: the protection of the one before ends.
  void begin_batch(step_clock const& now) noexcept {
    ++batch_;
    pool_of(now.layer).eviction.on_step(now);
  }

  /// The router asked for what this slot holds or will hold. @pre resident or in flight
  void touch(slot_id s) noexcept {
    protect(s);
    auto& pool = pool_of(at(s).key.layer);
    pool.eviction.on_hit(pool.local(s));
  }

  /// The router asked for an expert that is absent and stays so.
  void ghost(expert_key k) noexcept {
    if constexpr (requires(Eviction& e) { e.on_ghost(k); }) pool_of(k.layer).eviction.on_ghost(k);
  }

  /// This batch reads the slot: it may not leave before the next `begin_batch`.
  void protect(slot_id s) noexcept { at(s).batch = batch_; }

  /// Whether a record of this layer fits as things are.
  [[nodiscard]] bool has_room(std::uint16_t layer) const noexcept { return pool_of(layer).fits(record_bytes_[layer]); }

  /// A slot to copy `k` into, evicting as needed; in flight until `commit` or `cancel`. @pre where(k) is absent
  /// @returns `no_slot` when not enough may leave; then nothing has changed
  [[nodiscard]] slot_id reserve(expert_key k) noexcept {
    BUDDY_ASSERT(where(k) == residency::absent);
    auto& pool = pool_of(k.layer);
    if (!make_room(pool, record_bytes_[k.layer])) return no_slot;
    slot_id const s = pool.take_free();
    pool.bytes_used += record_bytes_[k.layer];
    at(s) = {.key = k, .leases = 0, .batch = batch_, .state = residency::in_flight};
    location_[shape_.index(k)] = s;
    pool.eviction.on_insert(pool.local(s), k);
    return s;
  }

  /// The bytes are there. @pre in flight
  void commit(slot_id s) noexcept {
    BUDDY_ASSERT(at(s).state == residency::in_flight);
    at(s).state = residency::resident;
    ready_[shape_.index(at(s).key)] = s;
  }

  /// The bytes will never arrive: the slot is free again. @pre in flight
  void cancel(slot_id s) noexcept {
    BUDDY_ASSERT(at(s).state == residency::in_flight);
    release_slot(pool_of(at(s).key.layer), s);
  }

  /// Keeps what the slot holds until `release`; leases nest. For readers that outlive a batch. @pre resident
  void lease(slot_id s) noexcept {
    BUDDY_ASSERT(at(s).state == residency::resident);
    ++at(s).leases;
  }

  void release(slot_id s) noexcept {
    BUDDY_ASSERT(at(s).leases != 0);
    --at(s).leases;
  }

  /// Puts experts in before the first step, in the order of their worth, as far as they fit without evicting.
  /// @pre every key is of the shape; no batch is under way, since what it protects may leave afterwards
  void warm(view<expert_key const> keys) noexcept {
    for (expert_key const k : keys) {
      auto const& pool = pool_of(k.layer);
      if (where(k) != residency::absent || !pool.fits(record_bytes_[k.layer])) continue;
      commit(reserve(k));
    }
    ++batch_;
  }

  /// The residents in the order in which `Eviction` would give them up if nobody asked for any of them: the least
  /// worthy first. `warm(by_worth())` gives an empty cache of this budget the same content, and a policy by recency or
  /// by age the same order; what else a policy has counted starts anew. Pools are merged so that the last of each come
  /// last. What is in flight is not listed. Cold: allocates.
  template <std::copyable Copied = Eviction>
  [[nodiscard]] std::vector<expert_key> by_worth() const {
    std::vector<std::vector<expert_key>> orders;
    std::size_t longest = 0;
    for (auto const& pool : pools_) {
      orders.push_back(by_worth(pool));
      longest = std::max(longest, orders.back().size());
    }
    std::vector<expert_key> merged;
    for (std::size_t from_last = longest; from_last != 0; --from_last)
      for (auto const& order : orders)
        if (from_last <= order.size()) merged.push_back(order[order.size() - from_last]);
    return merged;
  }

  /// Of keys like those of `by_worth`, the ones that `warm` should be given: as many as fit beside what is held, chosen
  /// from the last on, in the order they had. Cold: allocates.
  /// @pre every key is of the shape
  [[nodiscard]] std::vector<expert_key> worthiest_that_fit(view<expert_key const> keys) const {
    std::vector<std::uint64_t> bytes, slots;  // [pools] still free
    for (auto const& pool : pools_)
      bytes.push_back(pool.byte_budget - pool.bytes_used), slots.push_back(pool.free.size());
    std::vector<std::uint8_t> taken(shape_.n_keys(), 0);
    std::vector<expert_key> fit;
    for (std::uint32_t i = keys.size; i != 0; --i) {
      expert_key const k = keys[i - 1];
      std::size_t const p = pools_.size() == 1 ? 0 : k.layer;
      std::uint64_t const record = record_bytes_[k.layer];
      if (where(k) != residency::absent || taken[shape_.index(k)] != 0 || slots[p] == 0 || record > bytes[p]) continue;
      taken[shape_.index(k)] = 1;
      --slots[p];
      bytes[p] -= record;
      fit.push_back(k);
    }
    std::reverse(fit.begin(), fit.end());
    return fit;
  }

  /// O(capacity): whether no record is leased or in flight, so that all may be moved between batches.
  [[nodiscard]] bool at_rest() const noexcept {
    return std::all_of(slots_.begin(), slots_.end(),
                       [](auto const& slot) { return slot.state != residency::in_flight && slot.leases == 0; });
  }

  /// O(capacity + experts): whether the tables agree with each other. For tests and fuzzers.
  [[nodiscard]] bool audit() const noexcept {
    std::size_t held = 0;
    for (std::size_t i = 0; i != slots_.size(); ++i) {
      auto const& slot = slots_[i];
      if (slot.state == residency::absent) continue;
      ++held;
      auto const key = shape_.index(slot.key);
      if (location_[key] != static_cast<slot_id>(i)) return false;
      if ((ready_[key] != no_slot) != (slot.state == residency::resident)) return false;
    }
    auto const located =
        location_.size() - static_cast<std::size_t>(std::count(location_.begin(), location_.end(), no_slot));
    return held == located && std::all_of(pools_.begin(), pools_.end(),
                                          [](auto const& pool) { return pool.bytes_used <= pool.byte_budget; });
  }

 private:
  struct slot_record {
    expert_key key{};
    std::uint32_t leases{};
    std::uint64_t batch{};  // last batch that reads it
    residency state{residency::absent};
  };
  using pool_type = detail::slot_pool<Eviction>;

  [[nodiscard]] slot_record& at(slot_id s) noexcept {
    BUDDY_ASSERT(static_cast<std::size_t>(s) < slots_.size());
    return slots_[static_cast<std::size_t>(s)];
  }

  [[nodiscard]] std::size_t pool_index(std::uint16_t layer) const noexcept { return pools_.size() == 1 ? 0 : layer; }
  [[nodiscard]] pool_type& pool_of(std::uint16_t layer) noexcept { return pools_[pool_index(layer)]; }
  [[nodiscard]] pool_type const& pool_of(std::uint16_t layer) const noexcept { return pools_[pool_index(layer)]; }

  /// Evicts until `bytes` fit, or nothing at all. Where records are of one size one victim suffices and nothing is
  /// summed up; otherwise O(capacity).
  [[nodiscard]] bool make_room(pool_type& pool, std::uint64_t bytes) noexcept {
    if (pool.fits(bytes)) return true;
    slot_id s = victim(pool);
    if (s == no_slot) return false;
    if (!pool.fits_after(record_bytes_[at(s).key.layer], bytes) && !pool.fits_after(bytes_that_may_leave(pool), bytes))
      return false;
    for (; s != no_slot; s = victim(pool)) {
      ++evictions_;
      release_slot(pool, s);
      if (pool.fits(bytes)) return true;
    }
    return false;  // an eviction policy that breaks its law: it named nothing although more may leave
  }

  [[nodiscard]] bool may_leave(slot_record const& slot) const noexcept {
    return slot.state == residency::resident && slot.leases == 0 && slot.batch != batch_;
  }

  [[nodiscard]] slot_id victim(pool_type const& pool) const noexcept {
    slot_id const local = pool.eviction.victim([&](slot_id candidate) noexcept {
      return may_leave(slots_[static_cast<std::size_t>(pool.global(candidate))]);
    });
    return local == no_slot ? no_slot : pool.global(local);
  }

  template <std::copyable Copied = Eviction>  // templates, so that a class of a policy that only moves is whole
  [[nodiscard]] std::vector<expert_key> by_worth(pool_type const& pool) const {
    std::vector<std::uint8_t> resident(pool.capacity);
    for (std::uint32_t i = 0; i != pool.capacity; ++i)
      resident[i] = slots_[pool.first + i].state == residency::resident;
    std::vector<expert_key> order;
    for (slot_id const s : pool.leaving_order(std::move(resident)))
      order.push_back(slots_[static_cast<std::size_t>(s)].key);
    return order;
  }

  [[nodiscard]] std::uint64_t bytes_that_may_leave(pool_type const& pool) const noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = pool.first; i != std::size_t{pool.first} + pool.capacity; ++i)
      if (may_leave(slots_[i])) sum += record_bytes_[slots_[i].key.layer];
    return sum;
  }

  void release_slot(pool_type& pool, slot_id s) noexcept {
    auto& slot = at(s);
    auto const key = shape_.index(slot.key);
    ready_[key] = location_[key] = no_slot;
    pool.eviction.on_erase(pool.local(s));
    pool.bytes_used -= record_bytes_[slot.key.layer];
    pool.give_back(s);
    slot = {};
  }

  model_shape shape_;
  std::vector<std::uint64_t> record_bytes_;  // [n_layers]
  std::vector<slot_id> ready_;               // [n_layers, n_experts] slots that can be read
  std::vector<slot_id> location_;            // [n_layers, n_experts] the same, and those in flight
  std::vector<slot_record> slots_;           // [capacity]
  std::vector<pool_type> pools_;             // 1, or [n_layers]
  std::uint64_t batch_ = 1;                  // 0 marks a slot that no batch has read
  std::uint64_t evictions_ = 0;
};

}  // namespace buddy::inline v0
