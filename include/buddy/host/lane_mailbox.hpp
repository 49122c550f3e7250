// SPDX-License-Identifier: Apache-2.0
/// @file
/// Where the device leaves work for the host lane, and finds its answer: memory that both see.
#pragma once

#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/expert_record.hpp>
#include <buddy/view.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::host {

/// One routed slot that the CPU computes.
struct mail_entry {
  std::uint16_t expert{};
  std::uint16_t token{};
  float weight{};
};

/// The words of a mailbox. Flags and counts lie on lines of their own, so that a poll does not slow down the writer.
struct mail_header {
  alignas(64) std::uint32_t ready{};  ///< 1: a request is complete. Set by the stream, cleared by the host
  alignas(64) std::uint32_t done{};   ///< 1: the answer is complete. Set by the host, cleared by the stream
  alignas(64) std::uint32_t layer{};
  std::uint32_t n_tokens{};
  std::uint32_t n_entries{};
};

/// Sizes of a mailbox.
struct mail_shape {
  expert_record record;
  std::uint32_t max_tokens{1};
  std::uint32_t max_entries{32};
};

/// A mailbox: pointers into one piece of mapped memory, as one of the two sides addresses it.
///
/// One request is under way at a time. The flags are binary, so that a captured stream operation, whose immediate never
/// changes, can be replayed:
///
///     stream: write header, entries, x          by kernels, into mapped memory
///     stream: ready = 1                         a stream write: ordered after those kernels
///     host:   sees ready == 1, sets ready = 0, computes, writes y, sets done = 1 (release)
///     stream: waits until done == 1, sets done = 0, reads y
///
/// The host clears `ready` before it sets `done`, and the stream clears `done` before it can set `ready` again, so no
/// flag is ever written by both at once.
struct lane_mailbox {
  mail_header* header{};
  mail_entry* entries{};  ///< [max_entries]
  std::uint16_t* x{};     ///< [max_tokens, hidden] in the format of the weights
  float* y{};             ///< [max_tokens, hidden]

  /// Bytes that a mailbox needs.
  [[nodiscard]] BUDDY_HD static constexpr std::size_t bytes(mail_shape const& s) noexcept {
    return y_offset(s) + lines(std::size_t{s.max_tokens} * s.record.hidden * sizeof(float));
  }

  /// @param memory  [bytes(s)] zeroed, aligned to 64; the host's address of it, or the device's
  [[nodiscard]] BUDDY_HD static lane_mailbox at(std::byte* memory, mail_shape const& s) noexcept {
    return {reinterpret_cast<mail_header*>(memory), reinterpret_cast<mail_entry*>(memory + sizeof(mail_header)),
            reinterpret_cast<std::uint16_t*>(memory + x_offset(s)), reinterpret_cast<float*>(memory + y_offset(s))};
  }

 private:
  [[nodiscard]] BUDDY_HD static constexpr std::size_t lines(std::size_t n) noexcept { return (n + 63) / 64 * 64; }
  [[nodiscard]] BUDDY_HD static constexpr std::size_t x_offset(mail_shape const& s) noexcept {
    return sizeof(mail_header) + lines(s.max_entries * sizeof(mail_entry));
  }
  [[nodiscard]] BUDDY_HD static constexpr std::size_t y_offset(mail_shape const& s) noexcept {
    return x_offset(s) + lines(std::size_t{s.max_tokens} * s.record.hidden * sizeof(std::uint16_t));
  }
};

static_assert(device_portable<lane_mailbox> && device_portable<mail_header> && device_portable<mail_entry>);

/// The host's half of the protocol.
/// @returns whether a request is there; it is then this side's to answer, and what the stream wrote is visible
[[nodiscard]] inline bool take_mail(lane_mailbox const& m) noexcept {
  std::atomic_ref<std::uint32_t> const ready(m.header->ready);
  if (ready.load(std::memory_order_acquire) != 1) return false;
  ready.store(0, std::memory_order_relaxed);  // ordered before `done` by its release
  return true;
}

/// Hands the answer over: what this thread wrote before is visible to who sees the flag.
inline void answer_mail(lane_mailbox const& m) noexcept {
  std::atomic_ref<std::uint32_t>(m.header->done).store(1, std::memory_order_release);
}

}  // namespace buddy::inline v0::host
