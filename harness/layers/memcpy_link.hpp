// SPDX-License-Identifier: Apache-2.0
/// @file
/// A link that is a thread: it copies records from one part of this machine's memory to another.
#pragma once

#include <buddy/concepts/transfer_engine.hpp>
#include <buddy/layer_plan.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace harness {

/// First in, first out, one copy at a time. For measurements on a CPU, so it may lock: an engine's own link does not.
class memcpy_link {
 public:
  static constexpr std::string_view name = "memcpy_link";

  /// Where a copy begins and where it goes.
  using places = std::function<std::pair<std::byte*, std::byte const*>(buddy::expert_copy const&)>;

  /// @param capacity  copies submitted and not done
  memcpy_link(places where, std::size_t capacity) : state_(std::make_unique<state>(std::move(where), capacity)) {
    state_->worker = std::thread{[s = state_.get()] { s->serve(); }};
  }
  memcpy_link(memcpy_link&&) noexcept = default;
  memcpy_link& operator=(memcpy_link&&) noexcept = default;
  ~memcpy_link() {
    if (!state_) return;
    {
      std::lock_guard const lock{state_->mutex};
      state_->stop = true;
    }
    state_->changed.notify_all();
    state_->worker.join();
  }

  [[nodiscard]] buddy::ticket submit(buddy::expert_copy const& c) noexcept { return state_->submit(c); }
  [[nodiscard]] bool done(buddy::ticket t) const noexcept { return state_->is_done(t); }
  void wait(buddy::ticket t) noexcept { state_->wait(t); }
  bool cancel(buddy::ticket t) noexcept { return state_->cancel(t); }

 private:
  enum class phase : std::uint8_t { empty, waiting, moving };

  struct entry {
    buddy::expert_copy copy;
    phase at{phase::empty};
    bool cancelled{};
  };

  /// Tickets count up from 0; the ring holds those that are not done.
  struct state {
    state(places w, std::size_t capacity)
        : where(std::move(w)), ring(capacity), cancelled(capacity, buddy::no_ticket) {}

    [[nodiscard]] entry& at(std::uint64_t n) noexcept { return ring[n % ring.size()]; }

    buddy::ticket submit(buddy::expert_copy const& c) noexcept {
      std::lock_guard const lock{mutex};
      if (submitted - finished == ring.size()) return buddy::no_ticket;
      at(submitted) = {c, phase::waiting, false};
      changed.notify_all();
      return buddy::ticket{submitted++};
    }

    [[nodiscard]] bool was_cancelled(std::uint64_t n) const noexcept {
      return cancelled[n % cancelled.size()] == buddy::ticket{n};
    }

    [[nodiscard]] bool is_done(buddy::ticket t) noexcept {
      std::lock_guard const lock{mutex};
      auto const n = static_cast<std::uint64_t>(t);
      return n < finished && !was_cancelled(n);
    }

    void wait(buddy::ticket t) noexcept {
      std::unique_lock lock{mutex};
      auto const n = static_cast<std::uint64_t>(t);
      changed.wait(lock, [&] { return n >= submitted || n < finished || was_cancelled(n); });
    }

    bool cancel(buddy::ticket t) noexcept {
      std::lock_guard const lock{mutex};
      auto const n = static_cast<std::uint64_t>(t);
      if (n >= submitted || n < finished || at(n).at != phase::waiting || at(n).cancelled) return false;
      at(n).cancelled = true;
      cancelled[n % cancelled.size()] = t;
      return true;
    }

    void serve() {
      std::unique_lock lock{mutex};
      for (;;) {
        changed.wait(lock, [this] { return stop || finished != submitted; });
        if (stop) return;
        entry& e = at(finished);
        if (!e.cancelled) {
          e.at = phase::moving;
          auto const copy = e.copy;
          lock.unlock();
          auto const [to, from] = where(copy);
          std::memcpy(to, from, copy.bytes);
          lock.lock();
        }
        ++finished;
        changed.notify_all();
      }
    }

    places where;
    std::vector<entry> ring;
    std::vector<buddy::ticket> cancelled;  // ticket n at n mod its size
    std::uint64_t submitted{};
    std::uint64_t finished{};  // done, or cancelled and passed over
    bool stop{};
    std::mutex mutex;  // guards all of these
    std::condition_variable changed;
    std::thread worker;
  };

  std::unique_ptr<state> state_;
};

static_assert(buddy::transfer_engine<memcpy_link>);

}  // namespace harness
