// SPDX-License-Identifier: Apache-2.0
/// @file
/// The copies that a `copy_engine` holds, in the order of submission, and which part of each has been issued.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/concepts/transfer_engine.hpp>
#include <buddy/layer_plan.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0::cuda::detail {

/// Numbers copies with tickets and keeps them until they are done or cancelled: those that are issued whole in front,
/// then at most one that is issued in part, then the rest. No allocation after construction.
class copy_queue {
 public:
  struct entry {
    ticket id{};
    expert_copy copy;
    std::uint64_t issued{};  ///< bytes

    [[nodiscard]] bool background() const noexcept { return copy.why != copy_reason::demand; }
  };

  explicit copy_queue(std::size_t capacity)
      : entries_(capacity), cancelled_(std::max<std::size_t>(capacity, 1024), no_ticket) {}

  [[nodiscard]] bool full() const noexcept { return size_ == entries_.size(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t n_issued() const noexcept { return n_issued_; }

  /// The i-th of those that are not issued whole. @pre i < size() - n_issued()
  [[nodiscard]] entry& waiting(std::size_t i) noexcept { return at(n_issued_ + i); }
  [[nodiscard]] std::size_t n_waiting() const noexcept { return size_ - n_issued_; }

  /// @pre !full()
  ticket push(expert_copy const& c) noexcept {
    auto const t = ticket{submitted_++};
    at(size_++) = {t, c, 0};
    return t;
  }

  /// The first that waits is issued whole.
  void issued_first() noexcept { ++n_issued_; }

  /// The oldest `n` have landed. @pre n <= n_issued()
  void pop(std::size_t n) noexcept {
    BUDDY_ASSERT(n <= n_issued_);
    first_ = (first_ + n) % entries_.size();
    size_ -= n;
    n_issued_ -= n;
  }

  /// Takes out every copy that waits and for which `which(entry const&)` holds, oldest first.
  template <class Which>
  void cancel_if(Which which) noexcept {
    std::size_t kept = n_issued_;
    for (std::size_t i = n_issued_; i != size_; ++i) {
      if (which(at(i))) {
        cancelled_[index(at(i).id)] = at(i).id;
      } else {
        at(kept++) = at(i);
      }
    }
    size_ = kept;
  }

  /// Whether the copy is neither done, nor cancelled, nor unknown.
  [[nodiscard]] bool holds(ticket t) const noexcept {
    std::size_t low = 0;
    std::size_t high = size_;  // tickets ascend, with gaps where some were cancelled
    while (low != high) {
      std::size_t const middle = low + (high - low) / 2;
      if (at(middle).id < t) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low != size_ && at(low).id == t;
  }

  [[nodiscard]] bool done(ticket t) const noexcept {
    return static_cast<std::uint64_t>(t) < submitted_ && cancelled_[index(t)] != t && !holds(t);
  }

 private:
  [[nodiscard]] entry& at(std::size_t i) noexcept { return entries_[(first_ + i) % entries_.size()]; }
  [[nodiscard]] entry const& at(std::size_t i) const noexcept { return entries_[(first_ + i) % entries_.size()]; }
  [[nodiscard]] std::size_t index(ticket t) const noexcept { return static_cast<std::uint64_t>(t) % cancelled_.size(); }

  std::vector<entry> entries_;  // a ring
  std::size_t first_{};
  std::size_t size_{};
  std::size_t n_issued_{};
  std::vector<ticket> cancelled_;  // ticket t at t mod its size
  std::uint64_t submitted_{};
};

}  // namespace buddy::inline v0::cuda::detail
