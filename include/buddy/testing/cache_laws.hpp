// SPDX-License-Identifier: Apache-2.0
/// @file
/// Checks the laws of `expert_cache` on any model, yours included, under any test framework.
#pragma once

#include <buddy/concepts/expert_cache.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <vector>

namespace buddy::inline v0::testing {

namespace detail {

/// Makes random calls, and compares all that the cache says of every expert with what it said before.
template <expert_cache C>
class cache_trial {
 public:
  template <class Make>
  cache_trial(Make const& make, model_shape const& shape, std::uint64_t byte_budget, std::uint64_t seed)
      : cache_(make()), shape_(shape), byte_budget_(byte_budget), known_(shape.n_keys()), random_(seed) {}

  std::string_view run(int steps) {
    std::string_view broken = look();
    for (int i = 0; i != steps && broken.empty(); ++i) {
      act();
      broken = look();
    }
    return broken;
  }

 private:
  static constexpr std::string_view nothing_leaves = "nothing but a reserve that succeeds makes a resident leave";

  struct entry {
    residency state{residency::absent};
    slot_id slot{no_slot};
    bool is_protected{};
  };

  void act() {
    expert_key const k{static_cast<std::uint16_t>(random_.roll(shape_.n_layers)),
                       static_cast<std::uint16_t>(random_.roll(shape_.n_experts))};
    entry& e = known_[shape_.index(k)];
    evicts_ = false;
    if_changed_ = nothing_leaves;
    if (random_.chance(8)) return begin_batch();
    if (e.state == residency::absent) return reserve(k, e);
    if (e.state == residency::in_flight && !random_.chance(3)) return settle(e);
    if (random_.chance(2)) cache_.touch(e.slot);
    if (random_.chance(2)) {
      cache_.protect(e.slot);
      e.is_protected = true;
    }
  }

  void begin_batch() {
    now_.n_layers = shape_.n_layers;
    now_.layer = static_cast<std::uint16_t>((now_.layer + 1) % shape_.n_layers);
    if (now_.layer == 0) ++now_.step;
    cache_.begin_batch(now_);
    for (entry& e : known_) e.is_protected = false;
  }

  void reserve(expert_key k, entry& e) {
    bool const had_room = cache_.has_room(k.layer);
    slot_id const s = cache_.reserve(k);
    evicts_ = s != no_slot && !had_room;
    if_changed_ = had_room  ? "where there is room, reserve succeeds and nobody leaves"
                  : evicts_ ? "a slot that was reserved is in flight"
                            : "a reserve that fails changes nothing";
    if (s != no_slot) e = {residency::in_flight, s, false};
  }

  void settle(entry& e) {
    bool const arrives = !random_.chance(4);
    arrives ? cache_.commit(e.slot) : cache_.cancel(e.slot);
    if_changed_ = arrives ? "an expert is resident once it is committed" : "an expert is absent once it is cancelled";
    if (arrives) {
      e.state = residency::resident;
    } else {
      e = {};
    }
  }

  std::string_view look() {
    std::vector<slot_id> slots;
    std::uint64_t bytes = 0;
    for (std::uint16_t l = 0; l != shape_.n_layers; ++l) {
      for (std::uint16_t x = 0; x != shape_.n_experts; ++x) {
        if (auto const broken = look_at({l, x}); !broken.empty()) return broken;
        if (cache_.where({l, x}) == residency::absent) continue;
        slots.push_back(cache_.slot_of({l, x}));
        bytes += cache_.record_bytes(l);
      }
    }
    std::sort(slots.begin(), slots.end());
    if (std::adjacent_find(slots.begin(), slots.end()) != slots.end()) return "a slot holds at most one expert";
    return bytes > byte_budget_ ? "the byte budget is never exceeded" : "";
  }

  std::string_view look_at(expert_key k) {
    entry& e = known_[shape_.index(k)];
    residency const state = cache_.where(k);
    slot_id const slot = cache_.slot_of(k);
    slot_id const ready = cache_.residents(k.layer)[k.expert];
    if ((slot == no_slot) != (state == residency::absent)) return "slot_of names a slot of whatever is not absent";
    if (e.state == residency::in_flight && (ready != no_slot || state == residency::resident))
      return "an expert in flight is not among the residents until it is committed";
    if (ready != (state == residency::resident ? slot : no_slot)) return "the residents are those that where calls so";
    if (state == e.state && slot == e.slot) return {};
    if (!evicts_ || state != residency::absent) return if_changed_;
    if (e.state == residency::in_flight || e.is_protected) return "what is in flight or protected never leaves";
    e = {};
    return {};
  }

  C cache_;
  model_shape shape_;
  std::uint64_t byte_budget_;
  std::vector<entry> known_;  // [n_layers, n_experts]
  step_clock now_{};
  bool evicts_{};                                 // the last call may have made residents leave
  std::string_view if_changed_ = nothing_leaves;  // the law that any other change breaks
  dice random_;
};

}  // namespace detail

/// Drives a cache with random calls, whose preconditions hold, and looks at every expert after each.
/// @param make         C make(): a new cache that holds nothing
/// @param byte_budget  what the records of all held experts may add up to
/// @returns the law that was broken first, or an empty view
template <class Make>
  requires std::invocable<Make const&>
[[nodiscard]] std::string_view broken_cache_law(Make const& make, model_shape const& shape, std::uint64_t byte_budget,
                                                std::uint64_t seed, int steps = 2000) {
  return detail::cache_trial<std::invoke_result_t<Make const&>>(make, shape, byte_budget, seed).run(steps);
}

}  // namespace buddy::inline v0::testing
