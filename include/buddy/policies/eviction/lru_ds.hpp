// SPDX-License-Identifier: Apache-2.0
/// @file
/// LRU that spares the layers about to run.
///
/// Source: the "lru_ds" cache policy of MoE-Infinity. Differs from it: the spared layers leave when nothing else may;
/// they do not wrap around from the last layer to the first.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/policies/eviction/recency_list.hpp>
#include <buddy/policies/eviction/slot_experts.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace buddy::inline v0::eviction {

/// Gives up the least recently used slot of a layer outside [l, l + spared), l the layer running; then of any layer.
///
/// The same as `lru` in a pool of one layer. Memory: 12 bytes a slot. Time: O(1); `victim` O(1 + slots it must pass
/// over).
class lru_ds {
 public:
  static constexpr std::string_view name = "lru_ds";

  explicit lru_ds(std::size_t capacity, std::uint32_t spared_layers = 3)
      : order_(capacity), experts_(capacity), spared_layers_(spared_layers) {}

  void on_step(step_clock const& now) noexcept { layer_ = now.layer; }
  void on_insert(slot_id s, expert_key k) noexcept {
    experts_.set(s, k);
    order_.push_newest(s);
  }
  void on_hit(slot_id s) noexcept { order_.make_newest(s); }
  void on_erase(slot_id s) noexcept {
    experts_.clear(s);
    order_.erase(s);
  }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id const other = order_.oldest_that([&](slot_id s) noexcept { return !is_spared(s) && may_leave(s); });
    return other != no_slot ? other : order_.oldest_that(may_leave);
  }

 private:
  [[nodiscard]] bool is_spared(slot_id s) const noexcept {
    std::uint16_t const layer = experts_[s].layer;
    return layer >= layer_ && static_cast<std::uint32_t>(layer - layer_) < spared_layers_;
  }

  detail::recency_list order_;
  detail::slot_experts experts_;
  std::uint32_t spared_layers_;
  std::uint16_t layer_ = 0;
};

static_assert(eviction_policy<lru_ds>);

}  // namespace buddy::inline v0::eviction
