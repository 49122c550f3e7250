// SPDX-License-Identifier: Apache-2.0
/// @file
/// Gathers the routed slots of a layer whose records are there into waves.
#pragma once

#include "harness/layers/layer_machine.hpp"

#include <buddy/layer_plan.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace harness {

/// First those of residents, then what arrives; each routed slot is in one wave. Takes its memory at once.
class expert_waves {
 public:
  /// @param n  routed slots of the largest batch
  explicit expert_waves(std::size_t n) : slots_(n), weights_(n) { distinct_.reserve(n); }

  /// A layer begins: its first wave holds what is resident.
  void begin(buddy::layer_plan const& plan) noexcept {
    plan_ = &plan;
    first_ = true;
    n_uses_ = 0;
    distinct_.clear();
    for (std::uint32_t i = 0; i != plan.assignments.size; ++i) {
      buddy::assignment const& a = plan.assignments[i];
      bool const here = a.how == buddy::resolution::own || a.how == buddy::resolution::buddy;
      slots_[i] = here ? a.slot : buddy::no_slot;
      weights_[i] = a.weight;
      n_uses_ += here ? 1 : 0;
      if (here) distinct_.push_back(a.slot);
    }
    std::sort(distinct_.begin(), distinct_.end());
    n_distinct_ = static_cast<std::uint32_t>(std::unique(distinct_.begin(), distinct_.end()) - distinct_.begin());
  }

  /// The record of a fetched expert lies in the copy's slot.
  void add(buddy::expert_copy const& c) noexcept {
    for (std::uint32_t i = 0; i != plan_->assignments.size; ++i) {
      buddy::assignment const& a = plan_->assignments[i];
      if (a.how != buddy::resolution::fetch || a.expert != c.expert.expert) continue;
      slots_[i] = c.slot;
      ++n_uses_;
    }
    ++n_distinct_;
  }

  /// Whether there is anything to compute; an empty first wave too: it clears the sums.
  [[nodiscard]] bool pending() const noexcept { return n_uses_ != 0 || first_; }

  /// Hands over what was gathered; the next wave is empty.
  template <class Machine>
  void send(Machine& machine) noexcept {
    machine.experts({plan_->layer,
                     plan_->n_tokens,
                     plan_->top_k,
                     {slots_.data(), plan_->assignments.size},
                     {weights_.data(), plan_->assignments.size},
                     n_distinct_,
                     n_uses_,
                     first_});
    std::fill_n(slots_.begin(), plan_->assignments.size, buddy::no_slot);
    n_uses_ = n_distinct_ = 0;
    first_ = false;
  }

 private:
  buddy::layer_plan const* plan_ = nullptr;
  std::vector<buddy::slot_id> slots_;     // [n_tokens, top_k]; `no_slot`: not in the wave that is gathered
  std::vector<float> weights_;            // [n_tokens, top_k]
  std::vector<buddy::slot_id> distinct_;  // scratch
  std::uint32_t n_uses_{};
  std::uint32_t n_distinct_{};
  bool first_{};
};

}  // namespace harness
