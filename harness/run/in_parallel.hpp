// SPDX-License-Identifier: Apache-2.0
/// @file
/// The same work on several threads.
#pragma once

#include <cstddef>
#include <functional>
#include <system_error>
#include <thread>
#include <vector>

namespace harness {

/// Calls `work()` on the calling thread and on `n_threads - 1` others, and returns when all are done. Where the system
/// gives fewer threads, fewer do the work.
/// @param work  must not throw
template <class Thread = std::jthread, class Work>
void in_parallel(std::size_t n_threads, Work const& work) {
  std::vector<Thread> others;  // each joins when it goes
  try {
    for (std::size_t t = 1; t < n_threads; ++t) others.emplace_back(std::cref(work));
  } catch (std::system_error const&) {
    // those that did start are enough
  }
  work();
}

}  // namespace harness
