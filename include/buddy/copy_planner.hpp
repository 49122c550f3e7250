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

#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// Reserves slots for what a batch needs and lists the copies; remembers which experts were predicted, and which were
/// missed without being fetched. No allocation after construction.
class copy_planner {
 public:
  /// @param prefetch_width  most copies of one prediction
  copy_planner(model_shape const& shape, policy_config const& config, std::uint32_t prefetch_width)
      : shape_(shape),
        refill_after_(config.refill_after),
        admission_(config.admissions_per_layer, config.in_prefill),
        fetches_(shape.n_experts),
        waits_(shape.n_experts),
        refills_(shape.n_experts),
        prefetches_(prefetch_width),
        host_(shape.n_experts),
        ghosts_(shape.n_keys(), 0),
        prefetched_(shape.n_keys(), 0) {}

  /// Background copies that the host can start before it says so again; no slot is emptied for one that it cannot.
  void background_room(std::uint32_t n) noexcept { room_ = n; }

  void begin_batch(phase p) noexcept {
    fetches_.clear(), waits_.clear(), refills_.clear(), host_.clear();
    admission_.begin_batch(p);
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
    ghosts_[shape_.index(key)] = 0;
    slot = cache.slot_of(key);
    if (slot != no_slot) {  // a prefetch or a refill that came too late
      ++count.waits;
      hit(key, count);
      cache.protect(slot);  // it was reserved for an earlier batch
      cache.touch(slot);    // and this is a demand like a hit
      waits_.push({key, slot, cache.record_bytes(key.layer), copy_reason::demand});
      return slot;
    }
    forget_prediction(key);  // what was copied on it has left unused
    slot = admission_.reserve(key, cache);
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
    if (refill_after_ == 0 || cache.where(key) != residency::absent) return;
    auto& ghost = ghosts_[shape_.index(key)];
    if (++ghost < refill_after_ || room_ == 0) return;
    slot_id const slot = admission_.reserve(key, cache);
    if (slot == no_slot) return;
    ghost = 0;
    --room_;
    forget_prediction(key);
    ++count.refills;
    refills_.push({key, slot, cache.record_bytes(key.layer), copy_reason::refill});
  }

  /// Copies that would make the predicted experts of `layer` resident, best first.
  template <expert_cache Cache>
  [[nodiscard]] view<expert_copy const> prefetch(std::uint16_t layer, view<std::uint16_t const> predicted, Cache& cache,
                                                 layer_counters& count) noexcept {
    prefetches_.clear();
    for (std::uint16_t const e : predicted)
      if (slot_id const s = cache.slot_of({layer, e}); s != no_slot) cache.protect(s);
    for (std::uint16_t const e : predicted) {
      expert_key const key{layer, e};
      if (cache.where(key) != residency::absent) continue;
      if (room_ == 0) break;
      slot_id const slot = cache.reserve(key);
      if (slot == no_slot) break;
      --room_;
      prefetches_.push({key, slot, cache.record_bytes(layer), copy_reason::prefetch});
      prefetched_[shape_.index(key)] = 1;
      ++count.prefetches;
    }
    return prefetches_.all();
  }

  /// A copy that was planned will not happen. One that a batch waits for is demanded, and no longer in the background.
  void cancel(expert_copy const& c, layer_counters& count) noexcept {
    forget_prediction(c.expert);
    if (c.why == copy_reason::refill) ++count.cancelled_refills;
    if (c.why == copy_reason::prefetch) ++count.cancelled_prefetches;
  }

  [[nodiscard]] view<expert_copy const> fetches() const noexcept { return fetches_.all(); }
  [[nodiscard]] view<expert_copy const> waits() const noexcept { return waits_.all(); }
  [[nodiscard]] view<expert_copy const> refills() const noexcept { return refills_.all(); }
  [[nodiscard]] view<std::uint16_t const> host_experts() const noexcept { return host_.all(); }

 private:
  void forget_prediction(expert_key key) noexcept { prefetched_[shape_.index(key)] = 0; }

  [[nodiscard]] static bool lists(fixed_list<expert_copy> const& copies, expert_key key, slot_id& slot) noexcept {
    for (expert_copy const& c : copies.all()) {
      if (c.expert != key) continue;
      slot = c.slot;
      return true;
    }
    return false;
  }

  model_shape shape_;
  std::uint32_t refill_after_;
  admission admission_;
  std::uint32_t room_ = 0xffff'ffffU;  // no limit until the host names one
  fixed_list<expert_copy> fetches_, waits_, refills_, prefetches_;
  fixed_list<std::uint16_t> host_;
  std::vector<std::uint32_t> ghosts_;     // [n_layers, n_experts] misses since the last copy
  std::vector<std::uint8_t> prefetched_;  // [n_layers, n_experts] copied on a prediction, not yet asked for
};

}  // namespace buddy::inline v0
