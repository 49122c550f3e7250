// SPDX-License-Identifier: Apache-2.0
/// @file
/// Threads that wait for the next piece of work by spinning, since it comes every few hundred microseconds.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace buddy::inline v0::host {

namespace detail {

/// Tells the core that this is a spin loop.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Bytes that two threads should not share: the cache line of every CPU this is written for.
inline constexpr std::size_t line_bytes = 64;

}  // namespace detail

/// The calling thread, as worker 0, and n_workers - 1 more. Not thread-safe: one caller.
///
/// A hand-over is two atomic operations and no system call, unless a worker has waited so long that it went to sleep.
/// More workers than cores only compete with each other; they sleep at once.
class worker_team {
 public:
  /// @param n_workers  at least 1, the caller included
  /// @param cpus       CPU of each worker, or empty: where the system puts them. The caller's own place is the caller's
  ///                   affair, so the first entry is not used.
  /// @param spins      looks at the flag before a waiting worker goes to sleep
  explicit worker_team(std::uint32_t n_workers, std::span<int const> cpus = {}, std::uint32_t spins = 20'000)
      : n_workers_{n_workers == 0 ? 1 : n_workers},
        spins_{n_workers_ <= std::thread::hardware_concurrency() ? spins : 0} {
    threads_.reserve(n_workers_ - 1);
    for (std::uint32_t w = 1; w != n_workers_; ++w) {
      threads_.emplace_back([this, w] { serve(w); });
      if (w < cpus.size()) pin(threads_.back(), cpus[w]);
    }
  }

  worker_team(worker_team const&) = delete;
  worker_team& operator=(worker_team const&) = delete;

  ~worker_team() {
    call_ = nullptr;
    start();
    for (auto& t : threads_) t.join();
  }

  [[nodiscard]] std::uint32_t size() const noexcept { return n_workers_; }

  /// Calls job(worker) on every worker and returns when all are done. What the caller wrote before is seen by all, and
  /// what they wrote by the caller. No allocation, no lock.
  template <class Job>
  void run(Job& job) noexcept {
    job_ = &job;
    call_ = [](void* j, std::uint32_t worker) noexcept { (*static_cast<Job*>(j))(worker); };
    start();
    job(0);
    barrier();
  }

  /// Waits, inside a job, until every worker has come here. What each wrote before is seen by all after it.
  void barrier() noexcept {
    std::uint32_t const round = round_.load(std::memory_order_relaxed);  // only the last to come changes it
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_workers_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      round_.notify_all();
    } else {
      wait_for_change(round_, round);
    }
  }

 private:
  static void pin([[maybe_unused]] std::thread& thread, [[maybe_unused]] int cpu) noexcept {
#if defined(__linux__)
    if (cpu < 0 || cpu >= CPU_SETSIZE) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);  // a refusal costs speed, nothing else
#endif
  }

  void start() noexcept {
    begun_.fetch_add(1, std::memory_order_release);
    begun_.notify_all();
  }

  void serve(std::uint32_t worker) noexcept {
    for (std::uint32_t seen = 0;; ++seen) {
      wait_for_change(begun_, seen);
      if (call_ == nullptr) return;
      call_(job_, worker);
      barrier();
    }
  }

  void wait_for_change(std::atomic<std::uint32_t> const& flag, std::uint32_t old) const noexcept {
    for (std::uint32_t i = 0; i != spins_; ++i) {
      if (flag.load(std::memory_order_acquire) != old) return;
      detail::relax();
    }
    flag.wait(old, std::memory_order_acquire);
  }

  std::uint32_t n_workers_;
  std::uint32_t spins_;
  void* job_ = nullptr;
  void (*call_)(void*, std::uint32_t) noexcept = nullptr;
  std::vector<std::thread> threads_;
  alignas(detail::line_bytes) std::atomic<std::uint32_t> begun_{0};
  alignas(detail::line_bytes) std::atomic<std::uint32_t> arrived_{0};
  alignas(detail::line_bytes) std::atomic<std::uint32_t> round_{0};
};

}  // namespace buddy::inline v0::host
