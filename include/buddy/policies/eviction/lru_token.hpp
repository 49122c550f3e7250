// SPDX-License-Identifier: Apache-2.0
/// @file
/// LRU that counts recency in whole steps and looks ahead within one.
///
/// Source: ours; cf. the layered LRU of arXiv:2509.02408. Differs from it: the step of last use comes first, the
/// distance to the layer's next visit second.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/policies/eviction/recency_list.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up a slot last used in the oldest step; among those, one whose layer is visited again last.
///
/// At layer l, layer m is visited again after d = (m - l - 1) mod n_layers other layers, so the layer just running is
/// the furthest away. Plain LRU gives up the *next* layer's experts first and never hits below one token cycle; this
/// keeps them. Ties go to the lower (layer, expert).
/// Memory: 24 bytes a slot. Time: O(1); `victim` O(slots last used in the oldest step + slots it must pass over).
class lru_token {
 public:
  static constexpr std::string_view name = "lru_token";

  explicit lru_token(std::size_t capacity) : order_(capacity), uses_(capacity) {}

  void on_step(step_clock const& now) noexcept {
    BUDDY_ASSERT(now.layer < now.n_layers);
    now_ = now;
  }
  void on_insert(slot_id s, expert_key k) noexcept {
    uses_[index(s)] = {now_.step, k};
    order_.push_newest(s);
  }
  void on_hit(slot_id s) noexcept {
    uses_[index(s)].step = now_.step;
    order_.make_newest(s);
  }
  void on_erase(slot_id s) noexcept { order_.erase(s); }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id best = no_slot;
    for (slot_id s = order_.oldest(); s != no_slot; s = order_.next_newer(s)) {
      if (best != no_slot && uses_[index(s)].step != uses_[index(best)].step) break;  // the oldest step ends here
      if (may_leave(s) && (best == no_slot || leaves_before(uses_[index(s)].expert, uses_[index(best)].expert)))
        best = s;
    }
    return best;
  }

 private:
  struct use {
    std::uint64_t step{};  ///< of the last use
    expert_key expert;
  };

  static std::size_t index(slot_id s) noexcept { return static_cast<std::size_t>(s); }

  /// Layers that run before `layer` runs again.
  [[nodiscard]] std::uint32_t distance(std::uint16_t layer) const noexcept {
    return (std::uint32_t{layer} + now_.n_layers - now_.layer - 1) % now_.n_layers;
  }
  [[nodiscard]] bool leaves_before(expert_key a, expert_key b) const noexcept {
    std::uint32_t const da = distance(a.layer);
    std::uint32_t const db = distance(b.layer);
    return da != db ? da > db : a < b;
  }

  detail::recency_list order_;
  std::vector<use> uses_;
  step_clock now_{};
};

static_assert(eviction_policy<lru_token>);

}  // namespace buddy::inline v0::eviction
