// SPDX-License-Identifier: Apache-2.0
/// @file
/// Slots in the order of their last use: what the LRU family shares.
#pragma once

#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0::detail {

/// A ring of links in one array; element `capacity` is both ends. Every operation is O(1), none allocates.
class recency_list {
 public:
  explicit recency_list(std::size_t capacity) : links_(capacity + 1), end_(static_cast<std::uint32_t>(capacity)) {
    links_[end_] = {end_, end_};
  }

  /// @pre `s` is not in the list
  void push_newest(slot_id s) noexcept {
    auto const i = static_cast<std::uint32_t>(s);
    std::uint32_t const newest = links_[end_].older;
    links_[i] = {newest, end_};
    links_[newest].newer = i;
    links_[end_].older = i;
  }

  /// @pre `s` is in the list
  void erase(slot_id s) noexcept {
    link const l = links_[static_cast<std::uint32_t>(s)];
    links_[l.older].newer = l.newer;
    links_[l.newer].older = l.older;
  }

  /// @pre `s` is in the list
  void make_newest(slot_id s) noexcept {
    erase(s);
    push_newest(s);
  }

  [[nodiscard]] slot_id oldest() const noexcept { return slot(links_[end_].newer); }
  [[nodiscard]] slot_id next_newer(slot_id s) const noexcept {
    return slot(links_[static_cast<std::uint32_t>(s)].newer);
  }

  /// The oldest that `accept(slot_id)` holds for, or `no_slot`. O(1 + those it must pass over).
  template <class Accept>
  [[nodiscard]] slot_id oldest_that(Accept const& accept) const noexcept {
    slot_id s = oldest();
    while (s != no_slot && !accept(s)) s = next_newer(s);
    return s;
  }

 private:
  struct link {
    std::uint32_t older{};
    std::uint32_t newer{};
  };

  [[nodiscard]] slot_id slot(std::uint32_t i) const noexcept { return i == end_ ? no_slot : slot_id{i}; }

  std::vector<link> links_;
  std::uint32_t end_;
};

}  // namespace buddy::inline v0::detail
