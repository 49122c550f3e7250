// SPDX-License-Identifier: Apache-2.0
// A pool of a few slots, just enough to play a trace by hand.
#pragma once

#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

/// Looks up a whole layer before it changes anything; experts of that layer's batch are not given up for each other.
template <class Eviction>
class small_pool {
 public:
  small_pool(std::size_t capacity, Eviction policy) : policy_(std::move(policy)), slots_(capacity) {}

  /// @returns hits
  int ask(buddy::step_clock now, std::initializer_list<buddy::expert_key> batch) {
    policy_.on_step(now);
    int hits = 0;
    std::vector<buddy::expert_key> missing;
    for (auto const k : batch) {
      auto const at = std::find(slots_.begin(), slots_.end(), k);
      if (at == slots_.end()) {
        missing.push_back(k);
      } else {
        policy_.on_hit(slot(at));
        ++hits;
      }
    }
    for (auto const k : missing) admit(k, batch);
    return hits;
  }

  [[nodiscard]] bool holds(buddy::expert_key k) const {
    return std::find(slots_.begin(), slots_.end(), k) != slots_.end();
  }

  /// Who would leave now, if anyone may.
  [[nodiscard]] std::optional<buddy::expert_key> next() const {
    buddy::slot_id const v = policy_.victim([](buddy::slot_id) { return true; });
    return v == buddy::no_slot ? std::nullopt : slots_[static_cast<std::size_t>(v)];
  }

 private:
  using iterator = typename std::vector<std::optional<buddy::expert_key>>::iterator;

  buddy::slot_id slot(iterator at) { return buddy::slot_id{static_cast<std::uint32_t>(at - slots_.begin())}; }

  void admit(buddy::expert_key k, std::initializer_list<buddy::expert_key> batch) {
    auto at = std::find(slots_.begin(), slots_.end(), std::nullopt);
    if (at == slots_.end()) {
      buddy::slot_id const v = policy_.victim([&](buddy::slot_id s) {
        return std::find(batch.begin(), batch.end(), *slots_[static_cast<std::size_t>(s)]) == batch.end();
      });
      if (v == buddy::no_slot) return;
      policy_.on_erase(v);
      at = slots_.begin() + static_cast<std::ptrdiff_t>(v);
    }
    *at = k;
    policy_.on_insert(slot(at), k);
  }

  Eviction policy_;
  std::vector<std::optional<buddy::expert_key>> slots_;
};
