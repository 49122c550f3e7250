// SPDX-License-Identifier: Apache-2.0
/// @file
/// The ids every component speaks in.
#pragma once

#include <compare>
#include <cstdint>

namespace buddy::inline v0 {

/// Most experts that one layer may have.
inline constexpr std::uint32_t max_experts = 1024;

/// Most experts that a router may choose for one token.
inline constexpr std::uint32_t max_top_k = 32;

/// One routed expert: its layer, and its index among that layer's experts.
struct expert_key {
  std::uint16_t layer{};
  std::uint16_t expert{};

  // A member on purpose: nvcc 13.0 loses the `==` implied by a defaulted friend `<=>`.
  constexpr auto operator<=>(expert_key const&) const = default;
};

/// Index of one expert-sized place in fast memory, in [0, capacity).
enum class slot_id : std::uint32_t {};

/// Names no slot: the answer when there is nothing to name.
inline constexpr slot_id no_slot{0xffff'ffffU};

/// When something happens: the step of the model, and the layer the step has reached.
struct step_clock {
  std::uint64_t step{};   ///< forward passes begun so far; one decoded token is one step
  std::uint16_t layer{};  ///< layer being resolved
  std::uint16_t n_layers{1};
};

}  // namespace buddy::inline v0
