// SPDX-License-Identifier: Apache-2.0
/// @file
/// A modelled link under `copy_engine`, with a clock of its own.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/cuda/copy_backend.hpp>
#include <buddy/error.hpp>
#include <buddy/transfer_time.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace buddy::inline v0::cuda {

/// What a `sim_copy_backend` is like.
struct sim_copy_options {
  std::uint64_t latency_ns = 10'000;                 ///< from issue to the first byte
  std::uint64_t bytes_per_second = 25'000'000'000U;  ///< once data flows; at most 10^15
  std::uint32_t n_marks = 2;                         ///< issues on the way
  std::uint64_t issue_limit_bytes = std::numeric_limits<std::uint64_t>::max();
};

/// Moves time, not bytes. Data of an issue flows `latency_ns` after it was issued and after the data of the one before,
/// for bytes / bandwidth, rounded up to whole nanoseconds. Equal calls give equal times.
class sim_copy_backend {
 public:
  /// @throws config_error when a limit is 0 or the bandwidth is not in [1, 10^15]
  explicit sim_copy_backend(sim_copy_options const& options) : options_(checked(options)), end_ns_(options.n_marks) {}

  [[nodiscard]] std::uint32_t n_marks() const noexcept { return options_.n_marks; }
  [[nodiscard]] std::uint64_t issue_limit_bytes() const noexcept { return options_.issue_limit_bytes; }

  /// @pre the mark is reached
  void issue(view<copy_piece const> pieces, copy_mark mark) noexcept {
    BUDDY_ASSERT(reached(mark));
    std::uint64_t bytes = 0;
    for (copy_piece const& p : pieces) bytes += p.bytes;
    std::uint64_t const begin = std::max(now_ns_ + options_.latency_ns, free_ns_);
    free_ns_ = begin + v0::detail::data_ns(bytes, options_.bytes_per_second);
    end(mark) = free_ns_;
  }

  [[nodiscard]] bool reached(copy_mark mark) noexcept { return end(mark) <= now_ns_; }

  /// Moves the clock to the end of the issue.
  void wait(copy_mark mark) noexcept { advance_to(end(mark)); }

  [[nodiscard]] bool failed() const noexcept { return false; }
  [[nodiscard]] std::uint64_t now_ns() const noexcept { return now_ns_; }

  /// Lets time pass; the past is ignored.
  void advance_to(std::uint64_t ns) noexcept { now_ns_ = std::max(now_ns_, ns); }

 private:
  static sim_copy_options const& checked(sim_copy_options const& o) {
    if (o.bytes_per_second == 0 || o.bytes_per_second > 1'000'000'000'000'000U)
      v0::detail::throw_config_error("buddy::cuda::sim_copy_backend: bytes_per_second must be in [1, 10^15]");
    if (o.n_marks == 0 || o.issue_limit_bytes == 0)
      v0::detail::throw_config_error("buddy::cuda::sim_copy_backend: n_marks and issue_limit_bytes must be at least 1");
    return o;
  }

  [[nodiscard]] std::uint64_t& end(copy_mark mark) noexcept { return end_ns_[static_cast<std::uint32_t>(mark)]; }

  sim_copy_options options_;
  std::vector<std::uint64_t> end_ns_;  // of what was last issued with each mark
  std::uint64_t now_ns_{};
  std::uint64_t free_ns_{};
};

static_assert(copy_backend<sim_copy_backend>);

}  // namespace buddy::inline v0::cuda
