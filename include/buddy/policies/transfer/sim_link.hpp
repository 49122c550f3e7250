// SPDX-License-Identifier: Apache-2.0
/// @file
/// A modelled link between slow and fast memory, with a clock of its own.
///
/// Source: ours; the usual latency-bandwidth model, extended by an in-flight limit.
#pragma once

#include <buddy/concepts/transfer_engine.hpp>
#include <buddy/error.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/transfer_time.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace buddy::inline v0::transfer {

/// What a `sim_link` is like.
struct sim_link_options {
  std::uint64_t latency_ns = 10'000;                 ///< from issue to the first byte
  std::uint64_t bytes_per_second = 25'000'000'000U;  ///< once data flows; at most 10^15
  std::uint32_t in_flight_limit = 2;                 ///< copies issued and not done; 2 hide the latency
  std::uint32_t queue_capacity = 1024;               ///< copies submitted and not done
};

/// When one copy moves.
struct link_times {
  std::uint64_t issue_ns{};
  std::uint64_t start_ns{};  ///< of the data
  std::uint64_t end_ns{};
};

/// Moves time, not bytes: copies end when the link would have moved them.
///
/// First in, first out. Copy j is issued as soon as it is submitted and copy j - in_flight_limit is done; its data
/// flows `latency_ns` after that and after copy j - 1, for bytes / bandwidth, rounded up to whole nanoseconds. A
/// cancelled copy, one not yet issued, lets later ones move up. Equal calls give equal times.
/// A cancelled ticket is remembered as such until one is cancelled that was submitted 1024 (or `queue_capacity`) later.
/// Time O(1); `done`, `wait` and `cancel` O(copies not done). No allocation after construction.
class sim_link {
 public:
  static constexpr std::string_view name = "sim_link";

  /// @throws config_error when a limit is 0 or the bandwidth is not in [1, 10^15]
  explicit sim_link(sim_link_options const& options)
      : options_(checked(options)),
        queue_(options.queue_capacity),
        cancelled_(std::max<std::size_t>(options.queue_capacity, 1024), no_ticket) {}

  [[nodiscard]] ticket submit(expert_copy const& c) noexcept {
    if (size_ == queue_.size()) return no_ticket;
    at(size_) = {ticket{submitted_}, now_ns_, 0, c.bytes, 0, 0};
    schedule(size_++);
    auto const t = ticket{submitted_++};
    retire();  // an empty copy over a link without latency is done already
    return t;
  }

  [[nodiscard]] bool done(ticket t) const noexcept {
    return static_cast<std::uint64_t>(t) < submitted_ && !was_cancelled(t) && find(t) == size_;
  }

  /// Moves the clock to the copy's end. Returns at once for a ticket that is cancelled or unknown.
  void wait(ticket t) noexcept {
    std::size_t const i = find(t);
    if (i != size_) advance_to(at(i).end_ns);
  }

  bool cancel(ticket t) noexcept {
    std::size_t const i = find(t);
    if (i == size_ || at(i).issue_ns <= now_ns_) return false;
    for (std::size_t j = i; j + 1 != size_; ++j) at(j) = at(j + 1);
    --size_;
    for (std::size_t j = i; j != size_; ++j) schedule(j);
    cancelled_[static_cast<std::uint64_t>(t) % cancelled_.size()] = t;
    return true;
  }

  /// As it stands: a cancellation before it lets it move up. Nothing when it is done, cancelled or unknown.
  [[nodiscard]] std::optional<link_times> times(ticket t) const noexcept {
    std::size_t const i = find(t);
    if (i == size_) return std::nullopt;
    return link_times{at(i).issue_ns, at(i).start_ns, at(i).end_ns};
  }

  [[nodiscard]] std::uint64_t now_ns() const noexcept { return now_ns_; }

  /// Lets time pass; the past is ignored.
  void advance_to(std::uint64_t ns) noexcept {
    now_ns_ = std::max(now_ns_, ns);
    retire();
  }

  /// Time in which data flowed, of the copies that are done.
  [[nodiscard]] std::uint64_t busy_ns() const noexcept { return busy_ns_; }

  /// Of the copies that are done.
  [[nodiscard]] std::uint64_t bytes_moved() const noexcept { return bytes_moved_; }

 private:
  struct copy {
    ticket id{};
    std::uint64_t submit_ns{};
    std::uint64_t issue_ns{};
    std::uint64_t bytes{};
    std::uint64_t start_ns{};  ///< of the data
    std::uint64_t end_ns{};
  };

  static sim_link_options const& checked(sim_link_options const& o) {
    if (o.bytes_per_second == 0 || o.bytes_per_second > 1'000'000'000'000'000U)
      detail::throw_config_error("buddy::transfer::sim_link: bytes_per_second must be in [1, 10^15]");
    if (o.in_flight_limit == 0)
      detail::throw_config_error("buddy::transfer::sim_link: in_flight_limit must be at least 1");
    if (o.queue_capacity == 0)
      detail::throw_config_error("buddy::transfer::sim_link: queue_capacity must be at least 1");
    return o;
  }

  [[nodiscard]] copy& at(std::size_t i) noexcept { return queue_[(first_ + i) % queue_.size()]; }
  [[nodiscard]] copy const& at(std::size_t i) const noexcept { return queue_[(first_ + i) % queue_.size()]; }

  /// Position in the queue, or its size.
  [[nodiscard]] std::size_t find(ticket t) const noexcept {
    std::size_t i = 0;
    while (i != size_ && at(i).id != t) ++i;
    return i;
  }

  [[nodiscard]] bool was_cancelled(ticket t) const noexcept {
    return cancelled_[static_cast<std::uint64_t>(t) % cancelled_.size()] == t;
  }

  /// Copies that are done have left the queue, and ended before now: they hold up none.
  void schedule(std::size_t i) noexcept {
    copy& c = at(i);
    std::size_t const limit = options_.in_flight_limit;
    c.issue_ns = i < limit ? c.submit_ns : std::max(c.submit_ns, at(i - limit).end_ns);
    c.start_ns = std::max(c.issue_ns + options_.latency_ns, i == 0 ? 0 : at(i - 1).end_ns);
    c.end_ns = c.start_ns + buddy::detail::data_ns(c.bytes, options_.bytes_per_second);
  }

  void retire() noexcept {
    for (; size_ != 0 && at(0).end_ns <= now_ns_; --size_) {
      busy_ns_ += at(0).end_ns - at(0).start_ns;
      bytes_moved_ += at(0).bytes;
      first_ = (first_ + 1) % queue_.size();
    }
  }

  sim_link_options options_;
  std::vector<copy> queue_;  // a ring, in order of submission
  std::size_t first_{};
  std::size_t size_{};
  std::vector<ticket> cancelled_;  // ticket t at t mod its size
  std::uint64_t submitted_{};
  std::uint64_t now_ns_{};
  std::uint64_t busy_ns_{};
  std::uint64_t bytes_moved_{};
};

static_assert(transfer_engine<sim_link>);

}  // namespace buddy::inline v0::transfer
