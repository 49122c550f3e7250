// SPDX-License-Identifier: Apache-2.0
/// @file
/// A GPU as the machine; no header of the toolkit in here.
#pragma once

#include "harness/layers/layer_machine.hpp"
#include "harness/layers/layer_stack.hpp"
#include "harness/layers/routing_source.hpp"
#include "harness/policy/settings.hpp"
#include "harness/sim/hardware.hpp"

#include <buddy/concepts/transfer_engine.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace harness {

struct cuda_parts;

/// The GPU's link: `cuda::copy_engine` behind a pointer.
class cuda_link {
 public:
  static constexpr std::string_view name = "cuda_link";

  explicit cuda_link(cuda_parts& parts) noexcept : parts_(&parts) {}

  [[nodiscard]] buddy::ticket submit(buddy::expert_copy const& c) noexcept;
  [[nodiscard]] bool done(buddy::ticket t) const noexcept;
  void wait(buddy::ticket t) noexcept;
  bool cancel(buddy::ticket t) noexcept;

 private:
  cuda_parts* parts_;
};

static_assert(buddy::transfer_engine<cuda_link>);

/// Pinned records, slots in device memory, kernels on one stream and copies on another. What needs no host runs as one
/// graph a step: the other weights, the decision, the experts, layer after layer. Errors are kept, and thrown by
/// `require_healthy`.
class cuda_machine {
 public:
  static constexpr std::uint32_t spare = 16;  ///< slots for what enters no cache

  /// Why there is no GPU, in the runtime's words; empty when there is one.
  [[nodiscard]] static std::string why_not();
  /// Pinned memory beside the records.
  [[nodiscard]] static std::uint64_t staging_bytes(layer_stack const& stack, std::uint32_t max_tokens);

  /// @param routing  outlives this
  /// @throws buddy::config_error, buddy::cuda_error when memory is short
  cuda_machine(layer_stack const& stack, step_routing const& routing, std::uint32_t n_slots);
  ~cuda_machine();
  cuda_machine(cuda_machine const&) = delete;
  cuda_machine& operator=(cuda_machine const&) = delete;

  [[nodiscard]] std::uint64_t now_ns() const noexcept;
  [[nodiscard]] cuda_link& link() noexcept { return link_; }
  void rest(std::uint16_t layer, std::uint32_t n_tokens) noexcept;
  void decided() noexcept {}
  void host_begin(host_experts const& h) noexcept;
  void experts(expert_wave const& w) noexcept;
  void host_end() noexcept;
  void finish() noexcept;
  void place(buddy::expert_copy const& c);
  [[nodiscard]] std::uint32_t n_slots() const noexcept;
  [[nodiscard]] std::uint32_t n_spare() const noexcept { return spare; }
  /// Decode waits for all copies of a layer and computes once: next to a copy an expert takes no time.
  [[nodiscard]] std::uint32_t copies_per_wave() const noexcept;
  [[nodiscard]] std::uint64_t link_bytes(std::uint64_t ns) const noexcept;

  /// Another mode's rounds begin: nobody is resident, and steps that run alone decide as these settings say.
  void begin_mode(policy_settings const& s);
  void launch_step(std::size_t step) noexcept;
  void withdraw(buddy::slot_id slot) noexcept;
  void publish(buddy::expert_copy const& c) noexcept;

  void begin_digest() noexcept {}
  /// Of the outputs of the last layer that ran.
  [[nodiscard]] std::uint64_t digest() noexcept;

  /// This run's bandwidths, for the cost model; what is not measured comes from `base`.
  [[nodiscard]] hardware measure(hardware const& base);

  /// The same for steps that run as one graph: their launches cost less.
  /// @param measured  by `measure`
  [[nodiscard]] hardware measure_alone(hardware const& measured);

  /// @throws buddy::config_error when a call of the runtime failed, or the link did
  void require_healthy() const;

 private:
  std::unique_ptr<cuda_parts> parts_;
  cuda_link link_;
};

static_assert(self_deciding_machine<cuda_machine>);

}  // namespace harness
