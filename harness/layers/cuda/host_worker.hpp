// SPDX-License-Identifier: Apache-2.0
/// @file
/// The CPU's lane beside a GPU: a thread that computes what a layer leaves to it.
#pragma once

#include "harness/layers/layer_machine.hpp"

#include <buddy/host/host_lane.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace harness {

/// One request at a time; the lane's other workers are its own.
class host_worker {
 public:
  /// @param y  [max_tokens, hidden] out, where the device copies from
  host_worker(buddy::host::lane_config const& config, std::uint16_t const* x, float* y) : lane_(config), x_(x), y_(y) {
    experts_.reserve(config.max_uses);
    uses_.reserve(config.max_uses);
    order_.reserve(config.max_uses);
    thread_ = std::thread{[this] { serve(); }};
  }
  host_worker(host_worker const&) = delete;
  host_worker& operator=(host_worker const&) = delete;
  ~host_worker() {
    state_.store(stop, std::memory_order_release);
    state_.notify_all();
    thread_.join();
  }

  /// @param record_of  std::byte const* record_of(expert)
  template <class RecordOf>
  void begin(host_experts const& h, RecordOf const& record_of) noexcept {
    order_.clear(), experts_.clear(), uses_.clear();
    for (std::uint32_t i = 0; i != h.entries.size; ++i) order_.push_back(i);
    std::sort(order_.begin(), order_.end(), [&](auto a, auto b) {
      return h.entries[a].expert != h.entries[b].expert ? h.entries[a].expert < h.entries[b].expert : a < b;
    });
    for (std::uint32_t const i : order_) {
      if (uses_.empty() || h.entries[i].expert != last_)
        experts_.push_back({record_of(h.entries[i].expert), static_cast<std::uint32_t>(uses_.size()), 0});
      last_ = h.entries[i].expert;
      ++experts_.back().n_uses;
      uses_.push_back({h.entries[i].token, h.entries[i].weight});
    }
    n_tokens_ = h.n_tokens;
    state_.store(work, std::memory_order_release);
    state_.notify_all();
  }

  void wait() const noexcept {
    while (state_.load(std::memory_order_acquire) == work) buddy::host::detail::relax();
  }

 private:
  enum : std::uint32_t { idle, work, stop };

  void serve() noexcept {
    for (;;) {
      state_.wait(idle, std::memory_order_acquire);
      if (state_.load(std::memory_order_acquire) == stop) return;
      lane_.compute({{experts_.data(), static_cast<std::uint32_t>(experts_.size())},
                     {uses_.data(), static_cast<std::uint32_t>(uses_.size())},
                     x_,
                     y_,
                     n_tokens_});
      std::uint32_t expected = work;
      state_.compare_exchange_strong(expected, idle, std::memory_order_acq_rel);
    }
  }

  buddy::host::host_lane lane_;
  std::uint16_t const* x_;
  float* y_;
  std::vector<std::uint32_t> order_;
  std::vector<buddy::host::lane_expert> experts_;
  std::vector<buddy::host::lane_use> uses_;
  std::uint16_t last_{};
  std::uint32_t n_tokens_{};
  std::atomic<std::uint32_t> state_{idle};
  std::thread thread_;
};

}  // namespace harness
