// SPDX-License-Identifier: Apache-2.0
// Bytes as calls on a slot_cache and on the naive model beside it.
#pragma once

#include "property/naive_cache.hpp"

#include <buddy/policies/eviction/lru.hpp>
#include <buddy/slot_cache.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

/// Two bytes are one call: what to do, and with which expert. The first byte chooses the pool, budget and sizes.
class slot_cache_fuzz {
 public:
  explicit slot_cache_fuzz(std::vector<std::uint8_t> const& input)
      : input_(input), cache_(shape, budget(input)), model_(shape, sizes(input), budget(input)) {}

  /// The first difference between the two, or null.
  char const* difference() {
    for (std::size_t i = 1; i + 1 < input_.size(); i += 2) {
      if (auto const* what = call(input_[i] % 9, key(input_[i + 1]))) return what;
      if (auto const* what = compare()) return what;
    }
    return nullptr;
  }

 private:
  static constexpr buddy::model_shape shape{.n_layers = 3, .n_experts = 5, .top_k = 2, .expert_bytes = 8};

  static std::vector<std::uint64_t> sizes(std::vector<std::uint8_t> const& input) {
    bool const unequal = !input.empty() && (input[0] & 1) != 0;
    return unequal ? std::vector<std::uint64_t>{4, 11, 7} : std::vector<std::uint64_t>{8, 8, 8};
  }
  static buddy::cache_budget budget(std::vector<std::uint8_t> const& input) {
    std::uint8_t const first = input.empty() ? std::uint8_t{0} : input[0];
    return {.bytes = 24U + (first >> 2),  // 24 bytes hold one record of each layer, of either kind
            .layout = (first & 2) != 0 ? buddy::pool_layout::global : buddy::pool_layout::per_layer,
            .layer_bytes = sizes(input)};
  }
  static buddy::expert_key key(std::uint8_t byte) {
    return {static_cast<std::uint16_t>(byte % 3), static_cast<std::uint16_t>(byte / 3 % 5)};
  }

  char const* call(int what, buddy::expert_key k) {
    auto const state = model_.where(k);
    if (state != cache_.where(k)) return "where differs";
    if (what == 0) return begin_batch(k);
    if (state == buddy::residency::absent) return reserve(k, what == 8);
    if (state == buddy::residency::in_flight && what != 5) return what < 6 ? commit(k) : cancel(k);
    auto const s = cache_.slot_of(k);
    if (state == buddy::residency::in_flight) {
      cache_.touch(s), model_.touch(k);
      return nullptr;
    }
    if (what < 4) cache_.touch(s), model_.touch(k);
    if (what == 4 || what == 5) cache_.protect(s), model_.protect(k);
    if (what == 6) cache_.lease(s), model_.lease(k);
    if (what > 6 && model_.leases(k) != 0) cache_.release(s), model_.release(k);
    return nullptr;
  }

  char const* begin_batch(buddy::expert_key k) {
    cache_.begin_batch({++step_, k.layer, shape.n_layers});
    model_.begin_batch();
    return nullptr;
  }

  /// @param warm  only if it fits as it is, and at once
  char const* reserve(buddy::expert_key k, bool warm) {
    if (warm) {
      auto const evictions = cache_.evictions();
      cache_.warm({&k, 1});
      if (cache_.evictions() != evictions) return "warm evicted";
      if (cache_.where(k) == buddy::residency::resident) {
        if (!model_.reserve(k)) return "warm found room that is not there";
        model_.commit(k);
      }
      model_.begin_batch();
      return nullptr;
    }
    bool const room = cache_.reserve(k) != buddy::no_slot;
    return room == model_.reserve(k) ? nullptr : "reserve differs";
  }

  char const* commit(buddy::expert_key k) {
    cache_.commit(cache_.slot_of(k));
    model_.commit(k);
    return nullptr;
  }
  char const* cancel(buddy::expert_key k) {
    cache_.cancel(cache_.slot_of(k));
    model_.cancel(k);
    return nullptr;
  }

  char const* compare() const {
    if (!cache_.audit()) return "the audit fails";
    if (cache_.evictions() != model_.evictions()) return "evictions differ";
    if (cache_.bytes_used() != model_.bytes_used()) return "bytes differ";
    for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
      for (std::uint16_t e = 0; e != shape.n_experts; ++e) {
        if (cache_.where({l, e}) != model_.where({l, e})) return "what is held differs";
        bool const readable = cache_.residents(l)[e] != buddy::no_slot;
        if (readable != (model_.where({l, e}) == buddy::residency::resident)) return "residents differ";
      }
    }
    return nullptr;
  }

  std::vector<std::uint8_t> const& input_;
  buddy::slot_cache<buddy::eviction::lru> cache_;
  naive_cache model_;
  std::uint64_t step_ = 0;
};
