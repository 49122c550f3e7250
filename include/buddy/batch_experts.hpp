// SPDX-License-Identifier: Apache-2.0
/// @file
/// The distinct experts of one batch, and how many of them are missing.
#pragma once

#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// Collects the union of the routed experts, and which routed slots of each token miss. Time O(routed slots); no
/// allocation after construction.
class batch_experts {
 public:
  batch_experts(std::uint32_t n_experts, std::uint32_t max_tokens)
      : first_use_(n_experts), seen_(n_experts, 0), missing_slots_(max_tokens) {}

  /// @param experts  [n_tokens, top_k] ids below n_experts, distinct within a token
  /// @param slot_of  [n_experts] slots of the residents, `no_slot` for the rest
  void collect(view<std::uint16_t const> experts, view<slot_id const> slot_of, std::uint32_t n_tokens) noexcept {
    experts_ = experts;
    one_token_ = n_tokens == 1;
    std::uint32_t const top_k = one_token_ ? experts.size : experts.size / n_tokens;
    for (std::uint32_t t = 0; t != n_tokens; ++t) missing_slots_[t] = misses(experts.part(t * top_k, top_k), slot_of);
    if (one_token_) {
      distinct_ = top_k;
      missing_ = static_cast<std::uint32_t>(std::popcount(missing_slots_[0]));
    } else {
      count_distinct(slot_of);
    }
  }

  [[nodiscard]] std::uint32_t distinct() const noexcept { return distinct_; }
  [[nodiscard]] std::uint32_t missing() const noexcept { return missing_; }

  /// The routed slots of token `t` whose experts are not resident.
  [[nodiscard]] slot_mask missing_slots(std::uint32_t t) const noexcept { return missing_slots_[t]; }

  /// Whether routed slot `i` of the batch is the first that names its expert.
  [[nodiscard]] bool first_use(std::uint32_t i) const noexcept { return one_token_ || first_use_[experts_[i]] == i; }

 private:
  [[nodiscard]] static slot_mask misses(view<std::uint16_t const> experts, view<slot_id const> slot_of) noexcept {
    slot_mask missing = 0;
    for (std::uint32_t s = 0; s != experts.size; ++s)
      missing |= static_cast<slot_mask>(slot_of[experts[s]] == no_slot ? 1 : 0) << s;
    return missing;
  }

  void count_distinct(view<slot_id const> slot_of) noexcept {
    ++batch_;
    distinct_ = missing_ = 0;
    for (std::uint32_t i = 0; i != experts_.size; ++i) {
      std::uint16_t const e = experts_[i];
      if (seen_[e] == batch_) continue;
      seen_[e] = batch_;
      first_use_[e] = i;
      ++distinct_;
      missing_ += slot_of[e] == no_slot ? 1U : 0U;
    }
  }

  view<std::uint16_t const> experts_{};
  std::vector<std::uint32_t> first_use_;  // [n_experts]
  std::vector<std::uint64_t> seen_;       // [n_experts] last batch that routed to it
  std::vector<slot_mask> missing_slots_;  // [max_tokens]
  std::uint64_t batch_ = 0;
  std::uint32_t distinct_ = 0;
  std::uint32_t missing_ = 0;
  bool one_token_ = false;  // whose experts are distinct
};

}  // namespace buddy::inline v0
