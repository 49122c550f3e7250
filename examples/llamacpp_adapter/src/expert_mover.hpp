// SPDX-License-Identifier: Apache-2.0
/// @file
/// Carries out what a plan says: experts that a layer waits for, experts that come in the background.
#pragma once

#include "harness/policy/compose.hpp"
#include "src/expert_file.hpp"
#include "src/load_queue.hpp"
#include "src/moe_graph.hpp"
#include "src/slot_store.hpp"

#include <buddy/layer_plan.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace llama_adapter {

/// Every copy that a plan lists ends in `commit` or `cancel`. Called by the thread that decodes, at each layer.
class expert_mover {
 public:
  struct limits {
    std::size_t n_readers = 2;
    std::uint32_t read_ahead = 4;
  };

  /// @param store  null: experts become resident in the page cache
  expert_mover(moe_graph const& graph, expert_source const& source, slot_store const* store,
               harness::harness_policy& policy, limits const& l);

  /// What the cache says is resident before the first step. @throws buddy::config_error when it cannot be read
  void load_residents();

  /// What has arrived is resident from here on. Before `policy.resolve`.
  /// @throws buddy::config_error when an expert could not be read
  void begin_layer();

  /// Returns when everything that the layer needs in slots is there; experts without a slot are left to `stage`.
  /// @throws buddy::config_error when an expert could not be read
  void run(buddy::layer_plan const& plan);

  /// Brings these experts of a layer into staging, from their slots where they have one.
  /// @param experts  distinct; every one that is to come into a slot has arrived
  /// @throws buddy::config_error when an expert could not be read
  void stage(std::uint16_t layer, std::span<std::uint16_t const> experts);

  /// Whether bytes are on their way into this slot.
  [[nodiscard]] bool is_arriving(buddy::slot_id s) const noexcept {
    return arriving_[static_cast<std::size_t>(s)] != 0;
  }

  [[nodiscard]] std::uint64_t bytes_read() const noexcept { return bytes_read_.load(std::memory_order_relaxed); }
  [[nodiscard]] double wait_seconds() const noexcept { return wait_seconds_; }

 private:
  using clock = std::chrono::steady_clock;
  struct pending {
    buddy::expert_copy copy;
    load_queue::ticket ticket;
    buddy::expert_key leaves;  // who gives up the slot
  };

  void load(load_job const& job, std::size_t thread);
  void load_into(load_job const& job, std::size_t thread);
  [[nodiscard]] pending submit(buddy::expert_copy const& copy, bool urgent);
  void submit_background(buddy::view<buddy::expert_copy const> copies);
  void make_way(buddy::layer_plan const& plan);
  void await(pending const& p);
  void await_background(buddy::expert_copy const& copy);
  void arrived(pending const& p);
  void forget_transients();
  void throw_failure();

  moe_graph const* graph_;
  expert_source const* source_;
  slot_store const* store_;
  harness::harness_policy* policy_;
  std::uint32_t read_ahead_;
  std::vector<aligned_scratch> scratch_;   // [readers] for reads that are not aligned
  std::vector<aligned_scratch> pieces_;    // [readers] for slots that the processor cannot write
  std::vector<buddy::expert_key> holder_;  // [slots] who is in it or comes into it
  std::vector<std::uint8_t> arriving_;     // [slots]
  std::vector<pending> background_, demand_;
  std::vector<buddy::expert_key> transients_;  // in the page cache for one batch only
  clock::time_point last_layer_{};
  double wait_seconds_ = 0.0;
  std::atomic<std::uint64_t> bytes_read_{0};
  std::atomic<std::uint64_t> load_ns_{0};
  load_queue queue_;  // last: its threads end first
};

}  // namespace llama_adapter
