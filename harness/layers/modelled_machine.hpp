// SPDX-License-Identifier: Apache-2.0
/// @file
/// A machine that only counts time.
#pragma once

#include "harness/layers/layer_machine.hpp"
#include "harness/sim/layer_cost.hpp"

#include <buddy/policies/transfer/sim_link.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace harness {

/// Charges what `offload_clock` charges, for batches too: a record is read once for all tokens of a wave, or takes the
/// time of its arithmetic where that is longer.
class modelled_machine {
 public:
  /// @param n_slots  of the largest cache that will run
  /// @param flops_per_use  of one expert for one token
  modelled_machine(hardware const& h, charged_shape const& s, std::uint32_t n_slots, double flops_per_use = 0.0)
      : cost_(cost_of(h, s)),
        link_(link_of(h)),
        link_bytes_per_ns_(h.link_gbps),
        use_ns_(h.device_tflops > 0.0 ? flops_per_use / (h.device_tflops * 1e3) : 0.0),
        n_slots_(n_slots) {}

  [[nodiscard]] std::uint64_t now_ns() const noexcept { return link_.now_ns(); }
  [[nodiscard]] buddy::transfer::sim_link& link() noexcept { return link_; }
  void rest(std::uint16_t, std::uint32_t) noexcept { pass(cost_.rest_ns); }
  void decided() noexcept { pass(cost_.resolve_ns); }

  void host_begin(host_experts const& h) noexcept {
    host_end_ns_ = h.n_distinct == 0 ? 0 : now_ns() + cost_.handshake_ns + h.n_distinct * cost_.host_expert_ns;
  }

  void experts(expert_wave const& w) noexcept {
    auto const arithmetic = static_cast<std::uint64_t>(std::llround(use_ns_ * w.n_uses));
    pass(std::max(w.n_distinct * cost_.expert_ns, arithmetic));
  }

  void host_end() noexcept { link_.advance_to(host_end_ns_); }
  void finish() noexcept {}
  void place(buddy::expert_copy const&) noexcept {}

  [[nodiscard]] std::uint32_t n_slots() const noexcept { return n_slots_; }
  /// As many as there are experts: a modelled machine has room, and a prompt's experts come one after the other anyway.
  [[nodiscard]] std::uint32_t n_spare() const noexcept { return 1U << 16; }
  [[nodiscard]] std::uint32_t copies_per_wave() const noexcept { return 1; }
  [[nodiscard]] std::uint64_t link_bytes(std::uint64_t ns) const noexcept {
    return static_cast<std::uint64_t>(static_cast<double>(ns) * link_bytes_per_ns_);
  }

 private:
  void pass(std::uint64_t ns) noexcept { link_.advance_to(link_.now_ns() + ns); }

  layer_cost cost_;
  buddy::transfer::sim_link link_;
  double link_bytes_per_ns_;
  double use_ns_;
  std::uint32_t n_slots_;
  std::uint64_t host_end_ns_{};
};

static_assert(layer_machine<modelled_machine>);

}  // namespace harness
