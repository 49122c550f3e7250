// SPDX-License-Identifier: Apache-2.0
/// @file
/// The ring through which many device threads tell one host thread what they missed; no runtime in here.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/miss_record.hpp>
#include <buddy/view.hpp>

#include <atomic>
#include <cstdint>

namespace buddy::inline v0::cuda {

/// The writers' side of the ring: words in their own memory, so that an append costs no round trip over the link.
struct miss_ring_control {
  std::uint32_t head{};     ///< records begun
  std::uint32_t drained{};  ///< the reader's tail as the writers last saw it
  std::uint32_t dropped{};  ///< records that found the ring full
};

/// A ring as the writers see it. `records` and `tail` are memory of the host that the device can reach, all zero at
/// first; the count of records is a power of two, at most 2^31.
struct miss_ring_ref {
  miss_record* records{};
  std::uint32_t const* tail{};  ///< records drained, written by the reader
  miss_ring_control* control{};
  std::uint32_t n_records{};
};

static_assert(device_portable<miss_ring_ref>);

/// The atomic words of host threads. The device's are in `miss_ring.cuh`; an algorithm below takes either.
struct host_memory {
  using word = std::uint32_t;

  static word load(word const& w) noexcept { return at(w).load(std::memory_order_relaxed); }
  static word load_from_reader(word const& w) noexcept { return at(w).load(std::memory_order_acquire); }
  static void add_one(word& w) noexcept { at(w).fetch_add(1, std::memory_order_relaxed); }
  static bool replace(word& w, word& expected, word value) noexcept {
    return at(w).compare_exchange_weak(expected, value, std::memory_order_relaxed);
  }
  static void publish(word& w, word value) noexcept { at(w).store(value, std::memory_order_release); }

 private:
  static std::atomic_ref<word> at(word const& w) noexcept { return std::atomic_ref<word>(const_cast<word&>(w)); }
};

namespace detail {

/// Whether the ring has no room for the record at `head`. The writers' own copy of the tail answers nearly always; only
/// a ring that looks full is worth a read over the link. A stale `head` may look negative: its exchange then fails.
template <class Memory>
[[nodiscard]] BUDDY_HD bool ring_is_full(miss_ring_ref const& ring, std::uint32_t head) noexcept {
  auto const limit = static_cast<std::int32_t>(ring.n_records);
  std::uint32_t const seen = Memory::load_from_reader(ring.control->drained);
  if (static_cast<std::int32_t>(head - seen) < limit) return false;
  std::uint32_t const tail = Memory::load_from_reader(*ring.tail);
  if (static_cast<std::int32_t>(head - tail) >= limit) return true;
  Memory::publish(ring.control->drained, tail);
  return false;
}

/// All but the sequence, which the reader may be looking at.
BUDDY_HD constexpr void write_payload(miss_record& place, miss_record const& record, std::uint32_t dropped) noexcept {
  place.dropped = dropped;
  place.endings = record.endings;
  place.layer = record.layer;
  place.step = record.step;
  place.size = record.size;
  for (std::uint32_t i = 0; i != miss_record::capacity; ++i) place.experts[i] = record.experts[i];
}

}  // namespace detail

/// Appends a record, or counts it as dropped when the reader is `n_records` behind. Never waits for the reader.
///
/// Any number of writers at once: lock-free, one succeeds in each round. A record is written only where the reader is
/// done, so no reader sees half of one. `sequence` and `dropped` are filled in here.
/// @returns whether it was appended
template <class Memory>
BUDDY_HD bool append(miss_ring_ref const& ring, miss_record const& record) noexcept {
  miss_ring_control& control = *ring.control;
  std::uint32_t head = Memory::load(control.head);
  do {
    if (detail::ring_is_full<Memory>(ring, head)) {
      Memory::add_one(control.dropped);
      return false;
    }
  } while (!Memory::replace(control.head, head, head + 1));  // a failure loads the newer head
  miss_record& place = ring.records[head & (ring.n_records - 1)];
  detail::write_payload(place, record, Memory::load(control.dropped));
  Memory::publish(place.sequence, head + 1);
  return true;
}

/// The reader's side: one thread.
class miss_reader {
 public:
  miss_reader() noexcept = default;

  /// @param tail  the word that the writers read as `miss_ring_ref::tail`
  miss_reader(view<miss_record> records, std::uint32_t& tail) noexcept : records_(records), tail_(&tail) {}

  /// Hands over what has arrived, oldest first: f(miss_record const&). Never waits.
  /// @returns how many
  template <class F>
  std::uint32_t drain(F&& f) {
    std::uint32_t n = 0;
    for (; n != records_.size; ++n) {
      miss_record const& place = records_[next_ & (records_.size - 1)];
      if (host_memory::load_from_reader(place.sequence) != next_ + 1) break;
      miss_record const record = place;
      if (static_cast<std::int32_t>(record.dropped - dropped_) > 0) dropped_ = record.dropped;  // writers overtake
      host_memory::publish(*tail_, ++next_);  // before f, which may take its time
      f(record);
    }
    return n;
  }

  /// Records that were dropped, as the last drained one knew; modulo 2^32.
  [[nodiscard]] std::uint32_t dropped() const noexcept { return dropped_; }
  /// Records that were handed over; modulo 2^32.
  [[nodiscard]] std::uint32_t drained() const noexcept { return next_; }

 private:
  view<miss_record> records_{};
  std::uint32_t* tail_{};
  std::uint32_t next_{};
  std::uint32_t dropped_{};
};

}  // namespace buddy::inline v0::cuda
