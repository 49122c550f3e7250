// SPDX-License-Identifier: Apache-2.0
/// @file
/// Copies records from memory of the host to slots of the device: what is needed now first, the rest in pieces.
#pragma once

#include <buddy/concepts/transfer_engine.hpp>
#include <buddy/cuda/copy_backend.hpp>
#include <buddy/cuda/copy_queue.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_list.hpp>
#include <buddy/layer_plan.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace buddy::inline v0::cuda {

/// How a `copy_engine` shares the link.
struct copy_engine_options {
  std::uint64_t background_bytes = std::uint64_t{2} << 20U;   ///< most of prefetches and refills on the link at a time
  std::uint64_t batch_below_bytes = std::uint64_t{1} << 20U;  ///< smaller records share an issue
  std::uint32_t batch_limit = 16;                             ///< records of one issue
  std::uint32_t in_flight_limit = 2;                          ///< issues on the link; 2 hide its latency
  std::uint32_t queue_capacity = 1024;                        ///< copies submitted and not done
};

/// What a `copy_engine` has done.
struct copy_counters {
  std::uint64_t copies{};            ///< done
  std::uint64_t issues{};            ///< landed; fewer than pieces where records shared one
  std::uint64_t bytes{};             ///< landed
  std::uint64_t background_bytes{};  ///< of those, for prefetches and refills
  std::uint64_t cancelled{};         ///< copies
  std::uint64_t wasted_bytes{};      ///< issued for copies that were cancelled then
};

/// First in, first out over one link. A demanded record moves whole, or together with others where they are small.
/// A background record moves in pieces of `background_bytes / in_flight_limit`, and can be cancelled until its last
/// piece is issued: a host that cancels the background when it meets a miss (`cancel_background`) has at most
/// `background_bytes` before its demand, however much was queued.
///
/// A cancelled copy leaves its slot half written, and pieces on the link still land: give the slot to no one but a
/// later copy of this engine, which is ordered behind them. Pieces are issued by `submit`, `done`, `wait` and `poll`: a
/// host that calls none of them for longer than the pieces on the link take lets the link idle. When the link fails,
/// nothing more is done, nothing waits, and `failed` says so. Not thread-safe. Time O(log copies) for `done`, O(copies)
/// to cancel. No allocation after construction.
template <copy_backend Backend>
class copy_engine {
 public:
  static constexpr std::string_view name = "copy_engine";

  /// @throws config_error when an option is 0, or the backend has fewer marks than may be in flight
  explicit copy_engine(Backend backend, copy_engine_options const& options = {})
      : state_(std::move(backend), checked(options)) {
    if (state_.backend.n_marks() < options.in_flight_limit)
      v0::detail::throw_config_error("buddy::cuda::copy_engine: in_flight_limit must not exceed the backend's marks");
  }

  /// Issues what the link takes, this copy too if nothing is before it.
  /// @pre c.slot is a slot: what `slot_cache` leaves without one goes to a spare slot that the host names
  [[nodiscard]] ticket submit(expert_copy const& c) noexcept {
    state_.poll();
    if (state_.queue.full() || state_.failed()) return no_ticket;
    ticket const t = state_.queue.push(c);
    state_.poll();
    return t;
  }

  /// Asking moves the queue on, or a host that only asks would never see the end.
  [[nodiscard]] bool done(ticket t) const noexcept {
    state_.poll();
    return state_.queue.done(t);
  }

  /// Returns at once for a ticket that is cancelled or unknown, and when the link has failed.
  void wait(ticket t) noexcept {
    for (state_.poll(); state_.queue.holds(t) && !state_.failed(); state_.poll()) state_.wait_for_oldest();
  }

  /// True until the last piece is issued.
  bool cancel(ticket t) noexcept {
    bool found = false;
    state_.cancel_if([&](detail::copy_queue::entry const& e) { return e.id == t; },
                     [&](auto const&...) { found = true; });
    return found;
  }

  /// Cancels what nothing waits for: every prefetch and refill whose last piece is not issued, oldest first.
  /// @param f  f(ticket, expert_copy const&) for each; may not call the engine
  template <class F>
  void cancel_background(F f) noexcept {
    state_.cancel_if([](detail::copy_queue::entry const& e) { return e.background(); }, f);
  }

  /// Issues what the link takes now. Never waits.
  void poll() noexcept { state_.poll(); }

  [[nodiscard]] bool failed() const noexcept { return state_.failed(); }
  [[nodiscard]] copy_counters const& counters() const noexcept { return state_.count; }
  [[nodiscard]] Backend& backend() noexcept { return state_.backend; }
  [[nodiscard]] Backend const& backend() const noexcept { return state_.backend; }

 private:
  /// Copies from pageable or registered memory that are smaller than this and share a batch with larger ones were seen
  /// to hold up the caller until all had landed.
  static constexpr std::uint64_t small_copy_bytes = std::uint64_t{256} << 10U;

  /// One issue on its way.
  struct flight {
    std::uint64_t bytes{};
    std::uint32_t completes{};  ///< copies whose last piece is in it
    bool background{};
  };

  struct state {
    state(Backend b, copy_engine_options const& o)
        : backend(std::move(b)),
          options(o),
          queue(o.queue_capacity),
          flights(o.in_flight_limit),
          pieces(o.batch_limit) {}

    void poll() noexcept {
      while (n_flights != 0 && !failed() && backend.reached(mark(0))) retire();
      while (n_flights != flights.size() && queue.n_waiting() != 0 && !failed()) issue();
    }

    void wait_for_oldest() noexcept {
      if (n_flights != 0) backend.wait(mark(0));
    }

    /// @pre the oldest flight has landed
    void retire() noexcept {
      flight const& f = flights[first_flight];
      ++count.issues;
      count.copies += f.completes;
      count.bytes += f.bytes;
      if (f.background) count.background_bytes += f.bytes;
      queue.pop(f.completes);
      first_flight = (first_flight + 1) % flights.size();
      --n_flights;
    }

    /// @pre a mark is free and a copy waits
    void issue() noexcept {
      bool const background = queue.waiting(0).background();
      std::uint64_t const limit =
          background ? std::min(options.background_bytes / flights.size(), issue_limit()) : issue_limit();
      flight f{0, 0, background};
      pieces.clear();
      do {
        add_piece(limit - f.bytes, f);
      } while (f.completes == pieces.size() && next_shares(f, limit));
      backend.issue(std::as_const(pieces).all(), mark(n_flights));
      flights[(first_flight + n_flights) % flights.size()] = f;
      ++n_flights;
    }

    void add_piece(std::uint64_t limit, flight& f) noexcept {
      auto& e = queue.waiting(0);
      std::uint64_t const bytes = std::min(limit, e.copy.bytes - e.issued);
      bool const last = e.issued + bytes == e.copy.bytes;
      pieces.push({e.copy.expert, e.copy.slot, e.issued, bytes, e.issued == 0, last});
      e.issued += bytes;
      f.bytes += bytes;
      if (!last) return;
      ++f.completes;
      queue.issued_first();
    }

    /// Whether the next copy joins the records that are in `pieces`, whole.
    [[nodiscard]] bool next_shares(flight const& f, std::uint64_t limit) noexcept {
      if (pieces.size() == pieces.capacity() || queue.n_waiting() == 0) return false;
      auto const& next = queue.waiting(0);
      copy_piece const& before = pieces[pieces.size() - 1];
      return next.background() == f.background && before.first && before.bytes < options.batch_below_bytes &&
             next.copy.bytes < options.batch_below_bytes && next.copy.bytes <= limit - f.bytes &&
             (next.copy.bytes < small_copy_bytes) == (before.bytes < small_copy_bytes);
    }

    template <class Which, class F>
    void cancel_if(Which which, F f) noexcept {
      queue.cancel_if([&](detail::copy_queue::entry const& e) {
        if (!which(e)) return false;
        ++count.cancelled;
        count.wasted_bytes += e.issued;
        f(e.id, e.copy);
        return true;
      });
    }

    [[nodiscard]] copy_mark mark(std::size_t i) const noexcept {
      return copy_mark{static_cast<std::uint32_t>((first_flight + i) % flights.size())};
    }
    [[nodiscard]] bool failed() const noexcept { return backend.failed(); }
    [[nodiscard]] std::uint64_t issue_limit() const noexcept { return backend.issue_limit_bytes(); }

    Backend backend;
    copy_engine_options options;
    detail::copy_queue queue;
    std::vector<flight> flights;  // a ring; its index is the mark
    std::size_t first_flight{};
    std::size_t n_flights{};
    fixed_list<copy_piece> pieces;  // of the issue that is being made
    copy_counters count;
  };

  static copy_engine_options const& checked(copy_engine_options const& o) {
    if (o.in_flight_limit == 0 || o.queue_capacity == 0 || o.batch_limit == 0)
      v0::detail::throw_config_error("buddy::cuda::copy_engine: limits and capacity must be at least 1");
    if (o.background_bytes < o.in_flight_limit)
      v0::detail::throw_config_error("buddy::cuda::copy_engine: background_bytes must be at least in_flight_limit");
    return o;
  }

  mutable state state_;
};

}  // namespace buddy::inline v0::cuda
