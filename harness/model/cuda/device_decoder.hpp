// SPDX-License-Identifier: Apache-2.0
/// @file
/// One token at a time through a model on a GPU, with the caller deciding at every layer which experts run, and where
/// they are.
#pragma once

#include "harness/model/cpu/decoder.hpp"
#include "harness/model/cuda/device_model.hpp"
#include "harness/model/cuda/device_slots.hpp"

#include <buddy/assert.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace harness {

/// The `decoder` of the device: the same layers, the same caller. Attention, experts and output run in kernels; the
/// router's scores come to the host, which decides. So the host waits once a layer, and when it decides, all kernels
/// that were launched before have ended: no slot is read then.
class device_decoder {
 public:
  /// @param model, slots  must outlive the decoder
  /// @throws buddy::error when the device has not got the memory
  device_decoder(device_model const& model, device_slots const& slots);
  ~device_decoder();
  device_decoder(device_decoder const&) = delete;
  device_decoder& operator=(device_decoder const&) = delete;

  /// The cache of keys and values starts anew.
  void begin_sequence() noexcept { position_ = 0; }

  /// One token through the model.
  /// @param moe  called as `decoder::step` does; the device computes each use in its slot, and the CPU those without
  /// one,
  ///   whose outputs are added last
  /// @return logits [vocab_size], valid until the next call
  /// @throws buddy::error when the device fails
  template <class Moe>
  std::span<float const> step(std::uint8_t token, Moe&& moe) {
    BUDDY_ASSERT(position_ < config_->max_positions);
    begin(token);
    for (std::uint16_t l = 0; l != config_->n_layers; ++l) {
      attend(l);
      router_output const routed = route(l);
      std::span<expert_use const> const uses = moe(l, routed, input());
      run(uses);
      if (std::ranges::any_of(uses, by_cpu)) run_on_host(l, uses, moe);
    }
    ++position_;
    return finish();
  }

 private:
  struct parts;

  static bool by_cpu(expert_use const& use) noexcept {
    return use.weight != 0.0F && (use.replaced || use.slot == buddy::no_slot);
  }

  /// Beside the device, which computes the others meanwhile.
  template <class Moe>
  void run_on_host(std::uint16_t layer, std::span<expert_use const> uses, Moe& moe) {
    std::span<float> const sum = cleared_sum();
    for (expert_use const& use : uses) {
      if (!by_cpu(use)) continue;
      if constexpr (requires { moe.add_stand_in(layer, use, input(), sum); }) {
        if (use.replaced) {
          moe.add_stand_in(layer, use, input(), sum);
          continue;
        }
      }
      add_expert(layer, use);
    }
    send_sum();
  }

  void warm_up();
  void begin(std::uint8_t token);
  void attend(std::uint16_t layer);
  router_output route(std::uint16_t layer);
  [[nodiscard]] std::span<float const> input() const noexcept;
  void run(std::span<expert_use const> uses);
  std::span<float> cleared_sum() noexcept;
  void add_expert(std::uint16_t layer, expert_use const& use) noexcept;
  void send_sum();
  std::span<float const> finish();

  weights const* weights_;
  model_config const* config_;
  std::unique_ptr<parts> parts_;
  std::uint32_t position_{};
};

}  // namespace harness
