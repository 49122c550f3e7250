// SPDX-License-Identifier: Apache-2.0
/// @file
/// This CPU as the machine: records and slots are its memory, a thread is the link, the host lane's kernels compute.
#pragma once

#include "harness/layers/layer_machine.hpp"
#include "harness/layers/layer_stack.hpp"
#include "harness/layers/memcpy_link.hpp"
#include "harness/sim/hardware.hpp"

#include <buddy/cuda/host_pages.hpp>
#include <buddy/host/host_lane.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace harness {

/// Really computes every expert, each routed slot by itself, and adds them in the order of the slots: which of them
/// had to come first changes no bit. Experts of the CPU's lane take turns with those of the "device", which is the same
/// CPU.
class cpu_machine {
 public:
  /// Slots for what enters no cache.
  static constexpr std::uint32_t spare = 8;

  /// Fills all records with random weights.
  /// @throws buddy::config_error when the system has no memory for it
  cpu_machine(layer_stack const& stack, std::uint32_t n_slots, std::uint32_t max_tokens, std::uint32_t n_threads);
  cpu_machine(cpu_machine const&) = delete;
  cpu_machine& operator=(cpu_machine const&) = delete;

  [[nodiscard]] std::uint64_t now_ns() const noexcept;
  [[nodiscard]] memcpy_link& link() noexcept { return link_; }
  void rest(std::uint16_t layer, std::uint32_t n_tokens) noexcept;
  void decided() noexcept {}
  void host_begin(host_experts const& h) noexcept;
  void experts(expert_wave const& w) noexcept;
  void host_end() noexcept;
  void finish() noexcept {}
  void place(buddy::expert_copy const& c);
  [[nodiscard]] std::uint32_t n_slots() const noexcept { return n_slots_; }
  [[nodiscard]] std::uint32_t n_spare() const noexcept { return spare; }
  [[nodiscard]] std::uint32_t copies_per_wave() const noexcept { return 1; }
  [[nodiscard]] std::uint64_t link_bytes(std::uint64_t ns) const noexcept {
    return static_cast<std::uint64_t>(static_cast<double>(ns) * link_gbps_);
  }

  void begin_digest() noexcept { digest_ = 0xcbf2'9ce4'8422'2325U; }
  /// Of every output bit since `begin_digest`.
  [[nodiscard]] std::uint64_t digest() const noexcept { return digest_; }

  /// Bandwidths of this machine as the cost model wants them, measured now: computing counts as reading.
  [[nodiscard]] hardware measure();

 private:
  [[nodiscard]] std::byte* record_in(buddy::slot_id slot) const noexcept {
    return slots_.bytes().data() + static_cast<std::size_t>(slot) * stack_.record.bytes();
  }
  [[nodiscard]] std::byte const* record_of(buddy::expert_key key) const noexcept {
    return records_.bytes().data() + stack_.shape().index(key) * stack_.record.bytes();
  }
  [[nodiscard]] std::uint32_t size_of_y() const noexcept { return max_tokens_ * stack_.record.hidden; }
  void fill_records();
  void compute_record(std::byte const* record, std::uint32_t n_uses, std::uint32_t n_tokens) noexcept;
  void add_outputs() noexcept;
  [[nodiscard]] double seconds_of_experts(std::uint32_t n_experts, std::uint32_t n_uses);

  layer_stack stack_;
  std::uint32_t n_slots_;
  std::uint32_t max_tokens_;
  double link_gbps_ = 1.0;
  buddy::cuda::host_pages records_;
  buddy::cuda::host_pages slots_;
  buddy::cuda::host_pages rest_;
  buddy::host::host_lane lane_;
  memcpy_link link_;
  std::vector<std::uint16_t> x_;             // [max_tokens, hidden]
  std::vector<float> scratch_;               // [max_tokens, hidden] one expert's outputs
  std::vector<float> parts_;                 // [max_tokens, top_k, hidden] outputs by routed slot
  std::vector<std::uint8_t> computed_;       // [max_tokens, top_k]
  std::vector<float> host_y_;                // [max_tokens, hidden] of the CPU's lane
  std::vector<float> y_;                     // [max_tokens, hidden]
  std::vector<buddy::host::lane_use> uses_;  // of the record that is computed
  std::vector<std::uint32_t> routed_;        // scratch: routed slots of a wave, by memory slot
  std::uint32_t n_tokens_{};
  bool host_used_{};
  std::uint64_t digest_{};
  std::uint64_t sink_{};
};

static_assert(layer_machine<cpu_machine>);

}  // namespace harness
