// SPDX-License-Identifier: Apache-2.0
/// @file
/// What one pool would hit under another policy: tags, no bytes.
#pragma once

#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace buddy::inline v0::detail {

/// An access that a pool has seen.
struct pool_access {
  expert_key key{};
  std::uint64_t step{};
  std::uint64_t batch{};  ///< equal for what one layer of one step asked for
};

/// Fed with whole batches after the fact. Finding is O(capacity): there is no table of all experts for each shadow.
template <class Policy>
class shadow_cache {
 public:
  shadow_cache(std::size_t capacity, Policy policy)
      : policy_(std::move(policy)), keys_(capacity, nobody), batches_(capacity) {}

  /// Judges the batch, then lets it in. @returns its hits
  std::uint32_t look_up(view<pool_access const> batch, std::uint16_t n_layers) noexcept {
    ++now_;
    policy_.on_step({batch[0].step, batch[0].key.layer, n_layers});
    for (auto const& access : batch)
      if (std::size_t const i = find(access.key); i != keys_.size()) batches_[i] = now_;
    std::uint32_t hits = 0;
    for (auto const& access : batch) {
      std::size_t const i = find(access.key);
      if (i == keys_.size()) {
        enter(access.key);
      } else {
        ++hits;
        policy_.on_hit(slot(i));
      }
    }
    return hits;
  }

  [[nodiscard]] bool holds(expert_key k) const noexcept { return find(k) != keys_.size(); }

 private:
  static constexpr expert_key nobody{0xffff, 0xffff};  // above every id: experts end at `max_experts`

  static slot_id slot(std::size_t i) noexcept { return static_cast<slot_id>(static_cast<std::uint32_t>(i)); }

  [[nodiscard]] std::size_t find(expert_key k) const noexcept {
    return static_cast<std::size_t>(std::find(keys_.begin(), keys_.end(), k) - keys_.begin());
  }

  void enter(expert_key k) noexcept {
    std::size_t i = find(nobody);
    if (i == keys_.size()) {
      slot_id const v =
          policy_.victim([this](slot_id s) noexcept { return batches_[static_cast<std::size_t>(s)] != now_; });
      if (v == no_slot) return;
      policy_.on_erase(v);
      i = static_cast<std::size_t>(v);
    }
    keys_[i] = k;
    batches_[i] = now_;
    policy_.on_insert(slot(i), k);
  }

  Policy policy_;
  std::vector<expert_key> keys_;        // [capacity]
  std::vector<std::uint64_t> batches_;  // [capacity] last batch that asked for it
  std::uint64_t now_ = 0;
};

}  // namespace buddy::inline v0::detail
