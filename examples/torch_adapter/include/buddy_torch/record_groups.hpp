// SPDX-License-Identifier: Apache-2.0
/// @file
/// The routed slots of a batch, sorted by where their weights lie, so that each record is read once.
#pragma once

#include <buddy/layer_plan.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace buddy::inline v0::torch {

/// Routed slots that one record computes.
struct record_group {
  slot_id slot{no_slot};   ///< where it lies on the device; `no_slot`: read it from the master
  std::uint16_t expert{};  ///< of the layer
  std::uint32_t first{};   ///< of `record_groups::uses`
  std::uint32_t size{};
};

/// Sorts, and keeps its memory from batch to batch.
class record_groups {
 public:
  /// What is dropped is in no group.
  void sort(layer_plan const& plan) {
    uses_.clear();
    groups_.clear();
    for (std::uint32_t i = 0; i != plan.assignments.size; ++i)
      if (plan.assignments[i].how != resolution::drop) uses_.push_back(i);
    auto const key = [&](std::uint32_t i) {
      auto const& a = plan.assignments[i];
      return (std::uint64_t{static_cast<std::uint32_t>(a.slot)} << 32) | a.expert;
    };
    std::sort(uses_.begin(), uses_.end(), [&](auto a, auto b) { return key(a) != key(b) ? key(a) < key(b) : a < b; });
    for (std::uint32_t u = 0; u != uses_.size(); ++u) {
      auto const& a = plan.assignments[uses_[u]];
      if (u == 0 || key(uses_[u]) != key(uses_[u - 1])) groups_.push_back({a.slot, a.expert, u, 0});
      ++groups_.back().size;
    }
  }

  [[nodiscard]] std::vector<record_group> const& groups() const noexcept { return groups_; }
  /// Routed slots (token * top_k + place) by group, within a group in their own order.
  [[nodiscard]] std::vector<std::uint32_t> const& uses() const noexcept { return uses_; }

 private:
  std::vector<std::uint32_t> uses_;
  std::vector<record_group> groups_;
};

}  // namespace buddy::inline v0::torch
