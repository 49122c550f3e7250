// SPDX-License-Identifier: Apache-2.0
// An LRU cache of expert records written for its reader, not for speed: what slot_cache<lru> must agree with.
#pragma once

#include <buddy/cache_budget.hpp>
#include <buddy/concepts/expert_cache.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

class naive_cache {
 public:
  /// @param record_bytes  [n_layers]
  naive_cache(buddy::model_shape const& shape, std::vector<std::uint64_t> record_bytes,
              buddy::cache_budget const& budget)
      : record_bytes_(std::move(record_bytes)) {
    std::uint64_t one_of_each = 0;
    for (auto const bytes : record_bytes_) one_of_each += bytes;
    auto const per_layer = std::min<std::uint64_t>(budget.bytes / one_of_each, shape.n_experts);
    for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
      bool const global = budget.layout == buddy::pool_layout::global;
      pool_of_.push_back(global ? std::uint16_t{0} : l);
      limits_[pool_of_[l]] = global ? budget.bytes : per_layer * record_bytes_[l];
    }
  }

  [[nodiscard]] buddy::residency where(buddy::expert_key k) const {
    auto const found = held_.find(k);
    return found == held_.end() ? buddy::residency::absent : found->second.state;
  }
  void begin_batch() { ++batch_; }
  void touch(buddy::expert_key k) {
    protect(k);
    held_.at(k).last_use = ++time_;
  }
  void protect(buddy::expert_key k) { held_.at(k).batch = batch_; }
  void commit(buddy::expert_key k) { held_.at(k).state = buddy::residency::resident; }
  void cancel(buddy::expert_key k) { held_.erase(k); }
  void lease(buddy::expert_key k) { ++held_.at(k).leases; }
  void release(buddy::expert_key k) { --held_.at(k).leases; }
  [[nodiscard]] std::uint32_t leases(buddy::expert_key k) const { return held_.count(k) == 0 ? 0 : held_.at(k).leases; }

  /// @returns whether there was room, or could be made; if not, nothing leaves
  bool reserve(buddy::expert_key k) {
    if (must_stay(pool_of_[k.layer]) + record_bytes_[k.layer] > limits_.at(pool_of_[k.layer])) return false;
    while (used(pool_of_[k.layer]) + record_bytes_[k.layer] > limits_.at(pool_of_[k.layer])) {
      auto oldest = held_.end();
      for (auto i = held_.begin(); i != held_.end(); ++i) {
        if (pool_of_[i->first.layer] != pool_of_[k.layer] || !may_leave(i->second)) continue;
        if (oldest == held_.end() || i->second.last_use < oldest->second.last_use) oldest = i;
      }
      held_.erase(oldest);
      ++evictions_;
    }
    held_[k] = {buddy::residency::in_flight, 0, batch_, ++time_};
    return true;
  }

  [[nodiscard]] std::uint64_t evictions() const { return evictions_; }
  [[nodiscard]] std::uint64_t bytes_used() const {
    std::uint64_t sum = 0;
    for (auto const& [pool, limit] : limits_) sum += used(pool);
    return sum;
  }

 private:
  struct entry {
    buddy::residency state{};
    std::uint32_t leases{};
    std::uint64_t batch{};
    std::uint64_t last_use{};
  };

  [[nodiscard]] bool may_leave(entry const& r) const {
    return r.state == buddy::residency::resident && r.leases == 0 && r.batch != batch_;
  }
  [[nodiscard]] std::uint64_t must_stay(std::uint16_t pool) const {
    std::uint64_t sum = 0;
    for (auto const& [key, held] : held_)
      if (pool_of_[key.layer] == pool && !may_leave(held)) sum += record_bytes_[key.layer];
    return sum;
  }
  [[nodiscard]] std::uint64_t used(std::uint16_t pool) const {
    std::uint64_t sum = 0;
    for (auto const& [key, held] : held_)
      if (pool_of_[key.layer] == pool) sum += record_bytes_[key.layer];
    return sum;
  }

  std::vector<std::uint64_t> record_bytes_;
  std::vector<std::uint16_t> pool_of_;             // [n_layers]
  std::map<std::uint16_t, std::uint64_t> limits_;  // bytes of each pool
  std::map<buddy::expert_key, entry> held_;
  std::uint64_t batch_ = 1;
  std::uint64_t time_ = 0;
  std::uint64_t evictions_ = 0;
};
