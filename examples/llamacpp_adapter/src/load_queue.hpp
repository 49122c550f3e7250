// SPDX-License-Identifier: Apache-2.0
/// @file
/// Threads that bring experts in while the model computes; what a layer waits for goes first.
#pragma once

#include <buddy/types.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace llama_adapter {

/// One expert to load.
struct load_job {
  buddy::expert_key expert{};
  std::uint32_t place{};                     ///< slot, counted from the first of its layer; or the expert, in staging
  bool staged{};                             ///< into staging instead of a slot
  buddy::expert_key leaves{0xffff, 0xffff};  ///< who gives up the slot; layer 0xffff: nobody
};

/// Loads in the background. One thread submits and waits; the loads run on others.
class load_queue {
 public:
  /// Runs on a thread of the queue, whose number it gets; may throw.
  using loader = std::function<void(load_job const&, std::size_t thread)>;
  using ticket = std::uint32_t;

  /// @param capacity  jobs that may be known at a time, beyond which `submit` waits for none but fails an assertion
  load_queue(std::size_t n_threads, std::size_t capacity, loader load);
  ~load_queue();
  load_queue(load_queue const&) = delete;
  load_queue& operator=(load_queue const&) = delete;

  /// @param urgent  before everything that is not
  [[nodiscard]] ticket submit(load_job const& job, bool urgent);
  /// It goes to the front, if it has not begun.
  void hurry(ticket t);
  [[nodiscard]] bool done(ticket t);
  void wait(ticket t);
  /// @returns whether it had not begun; then it never will, and the ticket is free
  [[nodiscard]] bool cancel(ticket t);
  /// A ticket that is done and was looked at.
  void release(ticket t);

  /// Nothing is queued or under way.
  [[nodiscard]] bool is_idle();

  /// What went wrong first; empty when nothing did. After a failure nothing is loaded any more.
  [[nodiscard]] std::string failure();

 private:
  enum class state : std::uint8_t { free, queued, running, done };

  void work(std::size_t thread);
  void run(ticket t, std::size_t thread, std::unique_lock<std::mutex>& lock);

  loader load_;
  std::mutex mutex_;
  std::condition_variable work_, finished_;
  std::deque<ticket> queue_;
  std::vector<load_job> jobs_;  // [capacity]
  std::vector<state> states_;   // [capacity]
  std::vector<ticket> free_;
  std::size_t running_ = 0;
  std::string failure_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace llama_adapter
