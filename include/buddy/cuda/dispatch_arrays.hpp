// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a layer's expert kernels read and write.
#pragma once

#include <buddy/config.hpp>
#include <buddy/expert_record.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::cuda {

/// The arrays of one layer, in device memory. Nothing in it changes from step to step, so that a captured graph holds
/// it for good: which slot holds which expert stands behind the pointers.
struct dispatch_arrays {
  expert_record record{};
  std::uint32_t n_tokens{};
  std::uint32_t top_k{};
  std::byte const* pool{};    ///< first slot's record; aligned to 16
  std::size_t slot_stride{};  ///< bytes from one slot's record to the next; a multiple of 16
  slot_id const* slots{};     ///< [n_tokens, top_k] where each routed slot is computed; `no_slot`: not here
  float const* weights{};     ///< [n_tokens, top_k] factor of the expert's output
  std::uint16_t const* x{};   ///< [n_tokens, hidden] in the format of the weights; aligned to 16
  float const* base{};        ///< [n_tokens, hidden] what the outputs are added to; null: zeros; aligned to 16
  float* y{};                 ///< [n_tokens, hidden] out; may be `base`; aligned to 16
  std::byte* workspace{};     ///< [workspace_bytes] scratch, its contents of no interest; aligned to 16

  [[nodiscard]] BUDDY_HD constexpr std::uint32_t n_routed() const noexcept { return n_tokens * top_k; }

  [[nodiscard]] BUDDY_HD constexpr std::byte const* record_in(slot_id slot) const noexcept {
    return pool + static_cast<std::size_t>(slot) * slot_stride;
  }

  /// Sizes that the 16-byte loads of the kernels can do.
  [[nodiscard]] BUDDY_HD constexpr bool fits_kernels() const noexcept {
    return record.hidden % 8 == 0 && record.width % 8 == 0 && record.hidden != 0 && record.width != 0 &&
           slot_stride % 16 == 0 && slot_stride >= record.bytes() && top_k != 0 && top_k <= max_top_k;
  }
};

static_assert(device_portable<dispatch_arrays>);

/// Whether a routed slot adds anything: a slot without a place, or with the weight of a dropped one, is never read, so
/// that not even a NaN comes from it.
[[nodiscard]] BUDDY_HD constexpr bool contributes(slot_id slot, float weight) noexcept {
  return slot != no_slot && weight != 0.0F;
}

/// Bytes of the inner vectors [n_routed, width]: float for one token, else 16-bit operands of the tensor cores.
[[nodiscard]] BUDDY_HD constexpr std::size_t inner_bytes(dispatch_arrays const& a) noexcept {
  std::size_t const element = a.n_tokens == 1 ? sizeof(float) : size_of(a.record.type);
  return (std::size_t{a.n_routed()} * a.record.width * element + 15) / 16 * 16;
}

/// Bytes of `workspace`: the inner vectors, and with several tokens the weighted outputs [n_routed, hidden] as floats.
[[nodiscard]] BUDDY_HD constexpr std::size_t workspace_bytes(dispatch_arrays const& a) noexcept {
  if (a.n_tokens <= 1) return inner_bytes(a);
  return inner_bytes(a) + std::size_t{a.n_routed()} * a.record.hidden * sizeof(float);
}

}  // namespace buddy::inline v0::cuda
