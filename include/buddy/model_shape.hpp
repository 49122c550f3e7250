// SPDX-License-Identifier: Apache-2.0
/// @file
/// How many layers, experts and bytes a model has: the sizes every table is made with.
#pragma once

#include <buddy/error.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0 {

/// The routed part of one model.
struct model_shape {
  std::uint16_t n_layers{};      ///< MoE layers only
  std::uint16_t n_experts{};     ///< routed experts of a layer, at most `max_experts`
  std::uint16_t top_k{};         ///< experts the router chooses for a token, at most `max_top_k`
  std::uint64_t expert_bytes{};  ///< bytes of one expert's record as it is copied

  [[nodiscard]] constexpr std::size_t n_keys() const noexcept { return std::size_t{n_layers} * n_experts; }

  /// Position of an expert in a table `[n_layers, n_experts]`.
  [[nodiscard]] constexpr std::size_t index(expert_key k) const noexcept {
    return std::size_t{k.layer} * n_experts + k.expert;
  }

  constexpr bool operator==(model_shape const&) const = default;
};

/// Whether both have as many layers, experts and routed slots; the bytes of a record may differ.
[[nodiscard]] constexpr bool routes_alike(model_shape const& a, model_shape const& b) noexcept {
  return a.n_layers == b.n_layers && a.n_experts == b.n_experts && a.top_k == b.top_k;
}

/// @throws config_error when a size is zero or above its limit, or when top_k > n_experts
inline void validate(model_shape const& s) {
  if (s.n_layers == 0) detail::throw_config_error("buddy::model_shape: n_layers must be at least 1");
  if (s.n_experts == 0 || s.n_experts > max_experts)
    detail::throw_config_error("buddy::model_shape: n_experts must be in [1, 1024]");
  if (s.top_k == 0 || s.top_k > max_top_k || s.top_k > s.n_experts)
    detail::throw_config_error("buddy::model_shape: top_k must be in [1, 32] and at most n_experts");
  if (s.expert_bytes == 0) detail::throw_config_error("buddy::model_shape: expert_bytes must be at least 1");
}

}  // namespace buddy::inline v0
