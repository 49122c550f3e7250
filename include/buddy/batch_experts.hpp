// SPDX-License-Identifier: Apache-2.0
/// @file
/// The distinct experts of one batch, and how many of them are missing.
#pragma once

#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// Collects the union of the routed experts. Time O(routed slots); no allocation after construction.
class batch_experts {
 public:
  explicit batch_experts(std::uint32_t n_experts) : first_use_(n_experts), seen_(n_experts, 0) {}

  /// @param experts  [n_tokens, top_k] ids below n_experts
  /// @param slot_of  [n_experts] slots of the residents, `no_slot` for the rest
  void collect(view<std::uint16_t const> experts, view<slot_id const> slot_of) noexcept {
    ++batch_;
    distinct_ = missing_ = 0;
    for (std::uint32_t i = 0; i != experts.size; ++i) {
      std::uint16_t const e = experts[i];
      if (seen_[e] == batch_) continue;
      seen_[e] = batch_;
      first_use_[e] = i;
      ++distinct_;
      missing_ += slot_of[e] == no_slot ? 1U : 0U;
    }
    experts_ = experts;
  }

  [[nodiscard]] std::uint32_t distinct() const noexcept { return distinct_; }
  [[nodiscard]] std::uint32_t missing() const noexcept { return missing_; }

  /// Whether routed slot `i` of the batch is the first that names its expert.
  [[nodiscard]] bool first_use(std::uint32_t i) const noexcept { return first_use_[experts_[i]] == i; }

 private:
  view<std::uint16_t const> experts_{};
  std::vector<std::uint32_t> first_use_;  // [n_experts]
  std::vector<std::uint64_t> seen_;       // [n_experts] last batch that routed to it
  std::uint64_t batch_ = 0;
  std::uint32_t distinct_ = 0;
  std::uint32_t missing_ = 0;
};

}  // namespace buddy::inline v0
