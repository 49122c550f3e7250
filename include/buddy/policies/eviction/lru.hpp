// SPDX-License-Identifier: Apache-2.0
/// @file
/// Least recently used: the policy that most engines ship.
///
/// Source: textbook; for experts in slots first in Eliseev, Mazur, arXiv:2312.17238 (per layer). Differs from it: one
/// pool of any scope.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/policies/eviction/recency_list.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <string_view>

namespace buddy::inline v0::eviction {

/// Gives up the slot whose last use is longest ago.
///
/// Below one token cycle (layers x top_k slots) a pool that all layers share never hits: see `lru_token`.
/// Memory: 8 bytes a slot. Time: O(1); `victim` O(1 + slots it must pass over).
class lru {
 public:
  static constexpr std::string_view name = "lru";

  explicit lru(std::size_t capacity) : order_(capacity) {}

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key) noexcept { order_.push_newest(s); }
  void on_hit(slot_id s) noexcept { order_.make_newest(s); }
  void on_erase(slot_id s) noexcept { order_.erase(s); }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id s = order_.oldest();
    while (s != no_slot && !may_leave(s)) s = order_.next_newer(s);
    return s;
  }

 private:
  detail::recency_list order_;
};

static_assert(eviction_policy<lru>);

}  // namespace buddy::inline v0::eviction
