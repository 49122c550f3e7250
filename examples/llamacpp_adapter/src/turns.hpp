// SPDX-License-Identifier: Apache-2.0
/// @file
/// Contexts of one model take turns: slots that one of them reads must not change hands for another.
#pragma once

#include <buddy/error.hpp>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace llama_adapter {

/// A lock that belongs to a thread from the first expert layer of a step to the step's end. Two steps of one thread
/// cannot overlap, so whoever holds it may take it again: a step that was aborted never gives it back.
class turns {
 public:
  /// @throws buddy::config_error when another thread does not end its step
  void take() {
    std::unique_lock lock{mutex_};
    auto const me = std::this_thread::get_id();
    auto const is_mine = [&] { return owner_ == std::thread::id{} || owner_ == me; };
    if (!ended_.wait_for(lock, patience, is_mine))
      throw buddy::config_error("llama.cpp adapter: another context of this model began a step and did not end it");
    owner_ = me;
  }

  void give() {
    {
      std::lock_guard const lock{mutex_};
      if (owner_ == std::this_thread::get_id()) owner_ = {};
    }
    ended_.notify_one();
  }

 private:
  static constexpr std::chrono::seconds patience{120};

  std::mutex mutex_;
  std::condition_variable ended_;
  std::thread::id owner_;
};

}  // namespace llama_adapter
