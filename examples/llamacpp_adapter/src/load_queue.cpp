// SPDX-License-Identifier: Apache-2.0
/// @file
/// One lock for everything: a load takes a thousand times longer than what is done under it.
#include "src/load_queue.hpp"

#include <buddy/assert.hpp>

#include <algorithm>
#include <exception>
#include <utility>

namespace llama_adapter {

load_queue::load_queue(std::size_t n_threads, std::size_t capacity, loader load)
    : load_(std::move(load)), jobs_(capacity), states_(capacity, state::free) {
  for (std::size_t t = capacity; t != 0; --t) free_.push_back(static_cast<ticket>(t - 1));
  for (std::size_t i = 0; i != n_threads; ++i) threads_.emplace_back([this, i] { work(i); });
}

load_queue::~load_queue() {
  {
    std::lock_guard const lock{mutex_};
    stop_ = true;
  }
  work_.notify_all();
  for (auto& thread : threads_) thread.join();
}

load_queue::ticket load_queue::submit(load_job const& job, bool urgent) {
  std::lock_guard const lock{mutex_};
  BUDDY_ASSERT(!free_.empty());
  ticket const t = free_.back();
  free_.pop_back();
  jobs_[t] = job;
  states_[t] = state::queued;
  if (urgent) {
    queue_.push_front(t);
  } else {
    queue_.push_back(t);
  }
  work_.notify_one();
  return t;
}

void load_queue::hurry(ticket t) {
  std::lock_guard const lock{mutex_};
  auto const at = std::find(queue_.begin(), queue_.end(), t);
  if (at == queue_.end()) return;
  queue_.erase(at);
  queue_.push_front(t);
}

bool load_queue::done(ticket t) {
  std::lock_guard const lock{mutex_};
  return states_[t] == state::done;
}

void load_queue::wait(ticket t) {
  std::unique_lock lock{mutex_};
  finished_.wait(lock, [&] { return states_[t] == state::done; });
}

bool load_queue::cancel(ticket t) {
  std::lock_guard const lock{mutex_};
  auto const at = std::find(queue_.begin(), queue_.end(), t);
  if (at == queue_.end()) return false;
  queue_.erase(at);
  states_[t] = state::free;
  free_.push_back(t);
  return true;
}

void load_queue::release(ticket t) {
  std::lock_guard const lock{mutex_};
  BUDDY_ASSERT(states_[t] == state::done);
  states_[t] = state::free;
  free_.push_back(t);
}

bool load_queue::is_idle() {
  std::lock_guard const lock{mutex_};
  return queue_.empty() && running_ == 0;
}

std::string load_queue::failure() {
  std::lock_guard const lock{mutex_};
  return failure_;
}

void load_queue::work(std::size_t thread) {
  std::unique_lock lock{mutex_};
  for (;;) {
    work_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (stop_) return;
    ticket const t = queue_.front();
    queue_.pop_front();
    run(t, thread, lock);
    states_[t] = state::done;
    finished_.notify_all();
  }
}

/// Jobs after a failure are done at once: whoever waits for them must not wait for ever, and looks at `failure`.
void load_queue::run(ticket t, std::size_t thread, std::unique_lock<std::mutex>& lock) {
  states_[t] = state::running;
  if (!failure_.empty()) return;
  ++running_;
  load_job const job = jobs_[t];
  std::string why;
  lock.unlock();
  try {
    load_(job, thread);
  } catch (std::exception const& e) {
    why = *e.what() == '\0' ? "unknown error" : e.what();
  }
  lock.lock();
  --running_;
  if (failure_.empty()) failure_ = why;
}

}  // namespace llama_adapter
