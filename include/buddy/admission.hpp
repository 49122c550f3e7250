// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which copies may enter the cache: a cap on uploads, and the rule that a prompt must not drive out what decoding
/// uses.
///
/// Source: the cap on uploads for each layer and step of the GPU expert caches proposed for llama.cpp; the protection
/// of the decode set across prefill in qvac's.
#pragma once

#include <buddy/concepts/expert_cache.hpp>
#include <buddy/counters.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// What a batch of a prompt may change in the cache. Whatever does not enter goes through staging.
enum class prefill_admission : std::uint8_t {
  free_slots,  ///< only slots that hold nothing are filled: a cold cache is seeded, a warm one survives
  all,         ///< as in decoding
  none,        ///< nothing enters
};

/// Counts what one batch lets in.
class admission {
 public:
  /// @param per_layer  most copies that enter in one layer of one step; 0: no limit
  admission(std::uint32_t per_layer, prefill_admission in_prefill) noexcept
      : per_layer_(per_layer == 0 ? unlimited : per_layer), in_prefill_(in_prefill) {}

  void begin_step(phase p) noexcept { rule_ = p == phase::prefill ? in_prefill_ : prefill_admission::all; }

  void begin_batch() noexcept { left_ = per_layer_; }

  /// A slot for a copy on a prediction: prompts are held to their rule, the cap is for what was asked for.
  template <expert_cache Cache>
  [[nodiscard]] slot_id reserve_ahead(expert_key key, Cache& cache) const noexcept {
    return may_enter(key.layer, cache) ? cache.reserve(key) : no_slot;
  }

  /// A slot for `key`, if it may enter and one can be had.
  template <expert_cache Cache>
  [[nodiscard]] slot_id reserve(expert_key key, Cache& cache) noexcept {
    if (left_ == 0 || !may_enter(key.layer, cache)) return no_slot;
    slot_id const slot = cache.reserve(key);
    if (slot != no_slot) --left_;
    return slot;
  }

 private:
  template <class Cache>
  [[nodiscard]] bool may_enter(std::uint16_t layer, Cache const& cache) const noexcept {
    return rule_ == prefill_admission::all || (rule_ == prefill_admission::free_slots && cache.has_room(layer));
  }

  static constexpr std::uint32_t unlimited = 0xffff'ffffU;

  std::uint32_t per_layer_;
  prefill_admission in_prefill_;
  prefill_admission rule_ = prefill_admission::all;
  std::uint32_t left_ = unlimited;
};

}  // namespace buddy::inline v0
