// SPDX-License-Identifier: Apache-2.0
/// @file
/// Answers a mailbox with a host lane.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/error.hpp>
#include <buddy/host/host_lane.hpp>
#include <buddy/host/lane_mailbox.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace buddy::inline v0::host {

/// Takes requests out of a mailbox and computes them; the thread that calls is the lane's worker 0.
///
/// Entries are grouped by expert, in the order of each expert's first entry, so that its weights are read once.
class lane_server {
 public:
  /// @param lane     outlives the server; computes for as many tokens and uses as the mailbox holds
  /// @param mailbox  as the host addresses it
  /// @param records  [n_layers, n_experts] each expert's record in slow memory
  /// @throws config_error when `records` does not fit the shape
  lane_server(host_lane& lane, lane_mailbox mailbox, model_shape const& shape, std::vector<std::byte const*> records)
      : lane_{&lane}, mailbox_{mailbox}, shape_{shape}, records_{std::move(records)} {
    if (records_.size() != shape_.n_keys())
      v0::detail::throw_config_error("buddy::lane_server: there must be one record for each expert of each layer");
    experts_.resize(lane.config().max_uses);
    uses_.resize(lane.config().max_uses);
    group_of_.resize(lane.config().max_uses);
    seen_.resize(shape_.n_experts);
  }

  /// Answers a request if there is one. No allocation, no lock, no system call.
  /// @returns whether there was one
  bool poll() noexcept {
    if (!take_mail(mailbox_)) return false;
    auto const& h = *mailbox_.header;
    BUDDY_ASSERT(h.n_entries <= uses_.size() && h.n_tokens <= lane_->config().max_tokens && h.layer < shape_.n_layers);
    std::uint32_t const n_groups = group(h.n_entries);
    lane_->compute({{experts_.data(), n_groups}, {uses_.data(), h.n_entries}, mailbox_.x, mailbox_.y, h.n_tokens});
    answer_mail(mailbox_);
    return true;
  }

  /// Polls until `stop` is set. After `patience` without a request it sleeps between looks, 50 us at a time, so that an
  /// idle engine costs no core; the first request after that waits as long.
  void serve(std::atomic<bool> const& stop,
             std::chrono::microseconds patience = std::chrono::milliseconds(20)) noexcept {
    auto last = std::chrono::steady_clock::now();
    for (std::uint32_t look = 1; !stop.load(std::memory_order_relaxed); ++look) {
      if (poll()) {
        last = std::chrono::steady_clock::now();
      } else if (look % 1024 == 0 && std::chrono::steady_clock::now() - last > patience) {
        while (!stop.load(std::memory_order_relaxed) && !poll())
          std::this_thread::sleep_for(std::chrono::microseconds(50));
        last = std::chrono::steady_clock::now();
      } else {
        detail::relax();
      }
    }
  }

 private:
  /// Sorts the entries by expert: counts, places, then copies. Time O(n_entries).
  /// @returns the number of distinct experts
  std::uint32_t group(std::uint32_t n_entries) noexcept {
    ++request_;
    std::uint32_t n_groups = 0;
    for (std::uint32_t i = 0; i != n_entries; ++i) {
      auto& seen = seen_[mailbox_.entries[i].expert];
      if (seen.request != request_) {
        seen = {request_, n_groups};
        experts_[n_groups++] = {record_of(mailbox_.entries[i].expert), 0, 0};
      }
      group_of_[i] = seen.group;
      ++experts_[seen.group].n_uses;
    }
    for (std::uint32_t g = 1; g < n_groups; ++g)
      experts_[g].first_use = experts_[g - 1].first_use + experts_[g - 1].n_uses;
    for (std::uint32_t g = 0; g != n_groups; ++g) experts_[g].n_uses = 0;
    for (std::uint32_t i = 0; i != n_entries; ++i) {
      auto& e = experts_[group_of_[i]];
      uses_[e.first_use + e.n_uses++] = {mailbox_.entries[i].token, mailbox_.entries[i].weight};
    }
    return n_groups;
  }

  [[nodiscard]] std::byte const* record_of(std::uint16_t expert) const noexcept {
    return records_[shape_.index({static_cast<std::uint16_t>(mailbox_.header->layer), expert})];
  }

  struct last_seen {
    std::uint64_t request{};
    std::uint32_t group{};
  };

  host_lane* lane_;
  lane_mailbox mailbox_;
  model_shape shape_;
  std::vector<std::byte const*> records_;
  std::vector<lane_expert> experts_;
  std::vector<lane_use> uses_;
  std::vector<std::uint32_t> group_of_;
  std::vector<last_seen> seen_;  // [n_experts]
  std::uint64_t request_ = 0;
};

}  // namespace buddy::inline v0::host
