// SPDX-License-Identifier: Apache-2.0
/// @file
/// Copies that take no time: for tests, and for hosts whose memory is all fast.
#pragma once

#include <buddy/concepts/transfer_engine.hpp>
#include <buddy/layer_plan.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::transfer {

/// Every copy is done when it is submitted. Time O(1), no memory.
class immediate {
 public:
  static constexpr std::string_view name = "immediate";

  [[nodiscard]] ticket submit(expert_copy const& c) noexcept {
    bytes_moved_ += c.bytes;
    return ticket{submitted_++};
  }
  [[nodiscard]] bool done(ticket t) const noexcept { return static_cast<std::uint64_t>(t) < submitted_; }
  void wait(ticket) noexcept {}
  bool cancel(ticket) noexcept { return false; }

  [[nodiscard]] std::uint64_t bytes_moved() const noexcept { return bytes_moved_; }

 private:
  std::uint64_t submitted_{};
  std::uint64_t bytes_moved_{};
};

static_assert(transfer_engine<immediate>);

}  // namespace buddy::inline v0::transfer
