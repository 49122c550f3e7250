// SPDX-License-Identifier: Apache-2.0
/// @file
/// What reuse distances are counted with: the order of last use, and pools too small for it.
#pragma once

#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0::detail {

/// Ids in the order of their last use, asked for depths. Time O(log n) a call, amortised.
///
/// Each id stands at the time of its last use in an array of twice as many times as there are ids; a Fenwick tree
/// counts who stands at or after a time. When time runs out all move together at the front.
class recency_stack {
 public:
  explicit recency_stack(std::uint32_t n_ids)
      : last_use_(n_ids), at_(2 * std::size_t{n_ids} + 1, nobody), tree_(2 * std::size_t{n_ids} + 1) {}

  /// 1 for the id used last, and so on; 0 for one that was never used.
  [[nodiscard]] std::uint32_t depth(std::uint32_t id) const noexcept {
    std::uint32_t const time = last_use_[id];
    return time == 0 ? 0 : n_used_ - up_to(time - 1);
  }

  void touch(std::uint32_t id) noexcept {
    if (now_ + 1 == at_.size()) close_gaps();
    if (last_use_[id] == 0) {
      ++n_used_;
    } else {
      at_[last_use_[id]] = nobody;
      add(last_use_[id], -1);
    }
    put(id, ++now_);
    add(now_, 1);
  }

 private:
  static constexpr std::uint32_t nobody = 0xffff'ffffU;

  void put(std::uint32_t id, std::uint32_t time) noexcept {
    last_use_[id] = time;
    at_[time] = id;
  }
  void add(std::uint32_t time, std::int32_t change) noexcept {
    for (std::size_t t = time; t < tree_.size(); t += t & (~t + 1)) tree_[t] += static_cast<std::uint32_t>(change);
  }
  [[nodiscard]] std::uint32_t up_to(std::uint32_t time) const noexcept {
    std::uint32_t sum = 0;
    for (std::uint32_t t = time; t != 0; t &= t - 1) sum += tree_[t];
    return sum;
  }

  void close_gaps() noexcept {
    std::uint32_t filled = 0;
    for (std::uint32_t t = 1; t <= now_; ++t) {
      std::uint32_t const id = at_[t];
      at_[t] = nobody;
      if (id != nobody) put(id, ++filled);
    }
    now_ = filled;
    // A tree of ones up to `filled`: node t counts the times (t - lowest bit of t, t].
    for (std::size_t t = 1; t != tree_.size(); ++t) {
      std::size_t const begin = t & (t - 1);
      std::size_t const end = std::min<std::size_t>(t, filled);
      tree_[t] = static_cast<std::uint32_t>(end > begin ? end - begin : 0);
    }
  }

  std::vector<std::uint32_t> last_use_;  // [n_ids] time, 0: never
  std::vector<std::uint32_t> at_;        // [time] who stands there
  std::vector<std::uint32_t> tree_;      // [time]
  std::uint32_t now_ = 0;
  std::uint32_t n_used_ = 0;
};

/// A pool that holds no whole batch: after each it holds what the batch hit, and the first it missed.
class less_than_a_batch {
 public:
  explicit less_than_a_batch(std::uint32_t slots) : held_(slots, nobody), next_(slots, nobody) {}

  /// @pre the batch has more ids than there are slots, each once
  void observe(view<std::uint32_t const> batch) noexcept {
    std::size_t n = 0;
    for (std::uint32_t const id : batch)
      if (holds(id)) next_[n++] = id;
    hits += n;
    for (std::uint32_t const id : batch)
      if (n != next_.size() && !holds(id)) next_[n++] = id;
    held_.swap(next_);
  }

  std::uint64_t hits = 0;

 private:
  static constexpr std::uint32_t nobody = 0xffff'ffffU;

  [[nodiscard]] bool holds(std::uint32_t id) const noexcept {
    return std::find(held_.begin(), held_.end(), id) != held_.end();
  }

  std::vector<std::uint32_t> held_;
  std::vector<std::uint32_t> next_;
};

}  // namespace buddy::inline v0::detail
