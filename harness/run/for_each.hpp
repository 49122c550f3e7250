// SPDX-License-Identifier: Apache-2.0
/// @file
/// Independent pieces of work, several at a time.
#pragma once

#include "harness/run/in_parallel.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>

namespace harness {

/// Calls `work(i)` for every i below `n`, and `progress(done)` after each, one at a time; passes the first exception
/// on.
/// @param n_threads  0: one for each core, 8 at most
template <class Work, class Progress>
void for_each(std::size_t n, std::uint32_t n_threads, Work const& work, Progress const& progress) {
  std::atomic<std::size_t> next{0};
  std::size_t done = 0;
  std::exception_ptr failure;
  std::mutex mutex;  // guards done, failure and progress
  auto const some = [&] {
    for (std::size_t i = next++; i < n; i = next++) {
      try {
        work(i);
        std::lock_guard const lock{mutex};
        progress(++done);
      } catch (...) {
        std::lock_guard const lock{mutex};
        if (!failure) failure = std::current_exception();
        next = n;
      }
    }
  };
  std::size_t const wanted = n_threads != 0 ? n_threads : std::min(8U, std::thread::hardware_concurrency());
  in_parallel(std::min(wanted, n), some);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace harness
