// SPDX-License-Identifier: Apache-2.0
/// @file
/// What must move because of one batch: demand copies, late prefetches, refills and the experts left to the CPU.
#pragma once

#include <buddy/admission.hpp>
#include <buddy/concepts/expert_cache.hpp>
#include <buddy/counters.hpp>
#include <buddy/fixed_list.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policy_config.hpp>
#include <buddy/prefetch_governor.hpp>
#include <buddy/refill_budget.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace buddy::inline v0 {

/// Reserves slots for what a batch needs and lists the copies; remembers which experts were predicted, and which were
/// missed without being fetched. No allocation after construction.
class copy_planner {
 public:
  /// @param prefetch_width  most copies of one prediction
  /// @param largest_bytes   of the records of all layers
  copy_planner(model_shape const& shape, policy_config const& config, std::uint32_t prefetch_width,
               std::uint64_t largest_bytes)
      : shape_(shape),
        mode_(config.prefetch),
        admission_(config.admissions_per_layer, config.in_prefill),
        fetches_(shape.n_experts),
        waits_(shape.n_experts),
        refills_(shape.n_experts),
        prefetches_(prefetch_width),
        host_(shape.n_experts),
        refill_budget_(shape, config.refill_after, config.refill_bytes_per_step, largest_bytes),
        governor_(shape, prefetch_width),
        ran_(shape.n_layers, 0),
        max_idle_(4 * largest_bytes),
        holder_(shape.n_keys(), prefetch_governor::nobody),
        prefetched_(shape.n_keys(), 0) {}

  /// Background copies that the host can start before it says so again; no slot is emptied for one that it cannot.
  void background_room(std::uint32_t n) noexcept { room_ = n; }

  /// Bytes that the link could have carried while nobody waited for it, since this was last called: what governed
  /// prefetches may spend. Kept up to four records, and until a layer has to fetch.
  void background_bytes(std::uint64_t n) noexcept {
    idle_bytes_ = std::min(idle_bytes_ + std::min(n, max_idle_), max_idle_);
  }

  void begin_step(std::uint64_t step, phase p) noexcept {
    refill_budget_.begin_step(step);
    admission_.begin_step(p);
  }

  void begin_batch(std::uint16_t layer) noexcept {
    ran_[layer] = 1;
    fetches_.clear(), waits_.clear(), refills_.clear(), host_.clear();
    admission_.begin_batch();
  }

  /// The router asked for a resident expert.
  void hit(expert_key key, layer_counters& count) noexcept {
    auto& was_prefetched = prefetched_[shape_.index(key)];
    if (was_prefetched == 0) return;
    ++count.useful_prefetches;
    was_prefetched = 0;
  }

  /// The layer will wait for this expert.
  /// @returns its slot: on its way already, reserved now, or `no_slot` for staging
  template <expert_cache Cache>
  [[nodiscard]] slot_id fetch(expert_key key, Cache& cache, layer_counters& count) noexcept {
    slot_id slot = no_slot;
    if (lists(fetches_, key, slot) || lists(waits_, key, slot)) return slot;
    refill_budget_.forget(key);
    slot = cache.slot_of(key);
    if (slot != no_slot) {  // a prefetch or a refill that came too late
      ++count.waits;
      hit_under_way(key, count);
      cache.protect(slot);  // it was reserved for an earlier batch
      cache.touch(slot);    // and this is a demand like a hit
      waits_.push({key, slot, cache.record_bytes(key.layer), copy_reason::demand});
      return slot;
    }
    count_wasted(key, count);
    governor_.missed(key);
    idle_bytes_ = 0;  // the link is wanted: a copy in its way would be waited for
    slot = admission_.reserve(key, cache);
    hold(slot, key);
    ++count.fetches;
    if (slot == no_slot) ++count.staged;
    fetches_.push({key, slot, cache.record_bytes(key.layer), copy_reason::demand});
    return slot;
  }

  /// The CPU computes this expert.
  void compute_on_host(std::uint16_t expert) noexcept {
    for (std::uint16_t const e : host_.all())
      if (e == expert) return;
    host_.push(expert);
  }

  /// A miss that was not fetched still counts for the expert that was missing, so that substitution cannot freeze the
  /// resident set.
  template <expert_cache Cache>
  void earn_refill(expert_key key, Cache& cache, layer_counters& count) noexcept {
    if (residency const at = cache.where(key); at != residency::absent) {
      if (at == residency::in_flight) hit_under_way(key, count);  // asked for, though somebody stood in
      return;
    }
    governor_.missed(key);
    if constexpr (requires { cache.ghost(key); }) cache.ghost(key);
    std::uint64_t const bytes = cache.record_bytes(key.layer);
    if (!refill_budget_.earns(key, bytes) || room_ == 0) return;
    slot_id const slot = admission_.reserve(key, cache);
    if (slot == no_slot) return;
    refill_budget_.spend(key, bytes);
    hold(slot, key);
    take_room();
    count_wasted(key, count);
    ++count.refills;
    refills_.push({key, slot, bytes, copy_reason::refill});
  }

  /// Copies that would make the predicted experts of `layer` resident, best first.
  template <expert_cache Cache>
  [[nodiscard]] view<expert_copy const> prefetch(std::uint16_t layer, view<std::uint16_t const> predicted, Cache& cache,
                                                 layer_counters& count) noexcept {
    prefetches_.clear();
    if (std::exchange(ran_[layer], std::uint8_t{0}) != 0) judge(layer);
    for (std::uint16_t const e : predicted)
      if (slot_id const s = cache.slot_of({layer, e}); s != no_slot) retain(s, cache);
    if (mode_ == prefetch_mode::retain_only) return prefetches_.all();
    std::uint64_t const bytes = cache.record_bytes(layer);
    for (std::uint32_t rank = 0; rank != predicted.size && room_ != 0; ++rank) {
      expert_key const key{layer, predicted[rank]};
      if (cache.where(key) != residency::absent || !is_worth(rank, bytes)) continue;
      bool const leaves = !cache.has_room(layer);
      slot_id const slot = admission_.reserve_ahead(key, cache);
      if (slot == no_slot) break;
      expert_key const before = hold(slot, key);
      bool const left = leaves && before != prefetch_governor::nobody && cache.where(before) == residency::absent;
      governor_.planned(key, rank, left ? before : prefetch_governor::nobody);
      copy_ahead(key, slot, bytes, count);
    }
    return prefetches_.all();
  }

  [[nodiscard]] prefetch_status status() const noexcept { return governor_.status(); }

  /// A copy that was planned will not happen. One that a batch waits for is demanded, and no longer in the background.
  void cancel(expert_copy const& c, layer_counters& count) noexcept {
    prefetched_[shape_.index(c.expert)] = 0;
    if (c.why == copy_reason::refill) {
      refill_budget_.refund(c.bytes);
      ++count.cancelled_refills;
    } else if (c.why == copy_reason::prefetch) {
      governor_.cancelled(c.expert);
      if (mode_ == prefetch_mode::governed) background_bytes(c.bytes);
      ++count.cancelled_prefetches;
    }
  }

  [[nodiscard]] view<expert_copy const> fetches() const noexcept { return fetches_.all(); }
  [[nodiscard]] view<expert_copy const> waits() const noexcept { return waits_.all(); }
  [[nodiscard]] view<expert_copy const> refills() const noexcept { return refills_.all(); }
  [[nodiscard]] view<std::uint16_t const> host_experts() const noexcept { return host_.all(); }

 private:
  void judge(std::uint16_t layer) noexcept {
    governor_.judge(layer, [this](expert_key key) noexcept { return prefetched_[shape_.index(key)] != 0; });
  }

  /// The router asked for an expert that is still on its way.
  void hit_under_way(expert_key key, layer_counters& count) noexcept {
    count.late_prefetches += prefetched_[shape_.index(key)];
    hit(key, count);
  }

  void take_room() noexcept {
    if (room_ != no_limit) --room_;
  }

  /// An expert comes anew: what was copied of it on a prediction has left without being asked for.
  void count_wasted(expert_key key, layer_counters& count) noexcept {
    auto& was_prefetched = prefetched_[shape_.index(key)];
    count.wasted_prefetches += was_prefetched;
    was_prefetched = 0;
  }

  /// Remembers who is in a slot. @returns who was; it has left, unless the slot was free or filled by someone else
  expert_key hold(slot_id slot, expert_key key) noexcept {
    if (static_cast<std::size_t>(slot) >= holder_.size()) return prefetch_governor::nobody;  // `no_slot`, too
    return std::exchange(holder_[static_cast<std::size_t>(slot)], key);
  }

  template <class Cache>
  void retain(slot_id slot, Cache& cache) const noexcept {
    cache.protect(slot);
    if (mode_ == prefetch_mode::retain_only) cache.touch(slot);
  }

  [[nodiscard]] bool is_worth(std::uint32_t rank, std::uint64_t bytes) noexcept {
    return mode_ == prefetch_mode::always || (bytes <= idle_bytes_ && governor_.allows(rank));
  }

  void copy_ahead(expert_key key, slot_id slot, std::uint64_t bytes, layer_counters& count) noexcept {
    count_wasted(key, count);
    if (mode_ == prefetch_mode::governed) idle_bytes_ -= bytes;
    take_room();
    prefetches_.push({key, slot, bytes, copy_reason::prefetch});
    prefetched_[shape_.index(key)] = 1;
    ++count.prefetches;
  }

  [[nodiscard]] static bool lists(fixed_list<expert_copy> const& copies, expert_key key, slot_id& slot) noexcept {
    for (expert_copy const& c : copies.all()) {
      if (c.expert != key) continue;
      slot = c.slot;
      return true;
    }
    return false;
  }

  static constexpr std::uint32_t no_limit = 0xffff'ffffU;

  model_shape shape_;
  prefetch_mode mode_;
  admission admission_;
  std::uint32_t room_ = no_limit;  // until the host names one
  fixed_list<expert_copy> fetches_, waits_, refills_, prefetches_;
  fixed_list<std::uint16_t> host_;
  refill_budget refill_budget_;
  prefetch_governor governor_;
  std::vector<std::uint8_t> ran_;  // [n_layers] since its copies were last judged
  std::uint64_t max_idle_;
  std::uint64_t idle_bytes_ = 0;
  std::vector<expert_key> holder_;        // by slot: whom this planner put there last; no more slots than experts
  std::vector<std::uint8_t> prefetched_;  // [n_layers, n_experts] copied on a prediction, not yet asked for
};

}  // namespace buddy::inline v0
