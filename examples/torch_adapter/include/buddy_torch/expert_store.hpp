// SPDX-License-Identifier: Apache-2.0
/// @file
/// The experts' weights: all of them in host memory, as many as there are slots on the device.
#pragma once

#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>

#include <ATen/ATen.h>
#include <buddy_torch/checks.hpp>
#include <buddy_torch/copy_stream.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0::torch {

/// Sizes of the routed part of a model whose experts are gated: y = down (silu(gate x) * (up x)).
struct expert_sizes {
  std::int64_t n_layers{}, n_experts{}, hidden{}, width{};

  [[nodiscard]] std::int64_t record_numbers() const { return 3 * hidden * width; }
  [[nodiscard]] model_shape shape(std::int64_t top_k, at::ScalarType type) const {
    return {static_cast<std::uint16_t>(n_layers), static_cast<std::uint16_t>(n_experts),
            static_cast<std::uint16_t>(top_k), static_cast<std::uint64_t>(record_numbers()) * c10::elementSize(type)};
  }
};

/// One expert's weights as matrices; views.
struct expert_matrices {
  at::Tensor gate_up;  ///< [2 width, hidden]
  at::Tensor down;     ///< [hidden, width]
};

/// Host master, pinned where the device is not the CPU, and the slots; moves records on a stream of its own.
///
/// A record is [gate | up | down], contiguous, so that one copy moves it. Which expert is in which slot is not known
/// here: that is the policy's. Not thread-safe.
class ExpertStore {
 public:
  /// @param n_slots  `slot_cache::capacity()` of the policy that will use it
  /// @param options  dtype and device of the slots; the master has the same dtype
  ExpertStore(expert_sizes const& sizes, std::int64_t n_slots, at::TensorOptions const& options = at::kFloat)
      : sizes_{sizes}, stream_{options.device()} {
    TORCH_CHECK_VALUE(sizes.n_layers > 0 && sizes.n_experts > 0 && sizes.hidden > 0 && sizes.width > 0,
                      "buddy::ExpertStore: sizes must all be positive");
    TORCH_CHECK_VALUE(n_slots >= 0, "buddy::ExpertStore: n_slots must not be negative, but is ", n_slots);
    auto const host = options.device(at::kCPU).pinned_memory(!options.device().is_cpu());
    for (std::int64_t l = 0; l != sizes.n_layers; ++l)
      master_.push_back(at::zeros({sizes.n_experts, sizes.record_numbers()}, host));
    slots_ = at::zeros({n_slots, sizes.record_numbers()}, options);
  }

  [[nodiscard]] expert_sizes const& sizes() const noexcept { return sizes_; }
  [[nodiscard]] std::int64_t n_slots() const { return slots_.size(0); }
  [[nodiscard]] at::Device device() const { return slots_.device(); }
  [[nodiscard]] at::ScalarType dtype() const { return slots_.scalar_type(); }
  [[nodiscard]] copy_stream& stream() noexcept { return stream_; }

  /// Writes an expert into the master, in the master's dtype.
  /// @param gate, up  [width, hidden]   @param down  [hidden, width]
  void set(expert_key k, at::Tensor const& gate, at::Tensor const& up, at::Tensor const& down) {
    detail::argument const all[]{
        {"buddy::ExpertStore", "gate", gate}, {"buddy::ExpertStore", "up", up}, {"buddy::ExpertStore", "down", down}};
    for (auto const& a : all) {
      detail::check_defined(a);
      detail::check_dims(a, 2, &a == &all[2] ? "[hidden, width]" : "[width, hidden]");
      detail::check_size(a, &a == &all[2] ? 1 : 0, sizes_.width, "the store's width");
      detail::check_size(a, &a == &all[2] ? 0 : 1, sizes_.hidden, "the store's hidden");
    }
    at::NoGradGuard const inference;
    auto const to = matrices_of(master(k));
    to.gate_up.narrow(0, 0, sizes_.width).copy_(gate);
    to.gate_up.narrow(0, sizes_.width, sizes_.width).copy_(up);
    to.down.copy_(down);
  }

  /// [record_numbers] host memory
  [[nodiscard]] at::Tensor master(expert_key k) const { return master_.at(k.layer)[k.expert]; }
  /// [record_numbers] device memory
  [[nodiscard]] at::Tensor slot(slot_id s) const { return slots_[static_cast<std::int64_t>(s)]; }
  [[nodiscard]] at::Tensor const& slots() const noexcept { return slots_; }

  [[nodiscard]] expert_matrices matrices_of(at::Tensor const& record) const {
    std::int64_t const half = 2 * sizes_.width * sizes_.hidden;
    return {record.narrow(0, 0, half).view({2 * sizes_.width, sizes_.hidden}),
            record.narrow(0, half, sizes_.width * sizes_.hidden).view({sizes_.hidden, sizes_.width})};
  }

  /// Begins to copy an expert into a slot, behind all that the current stream has been given to read from there.
  copy_ticket fetch(expert_key k, slot_id s) { return stream_.copy(slot(s), master(k)); }

 private:
  expert_sizes sizes_;
  std::vector<at::Tensor> master_;  // [n_layers] of [n_experts, record_numbers]
  at::Tensor slots_;                // [n_slots, record_numbers]
  copy_stream stream_;
};

}  // namespace buddy::inline v0::torch
