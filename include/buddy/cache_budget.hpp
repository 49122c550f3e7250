// SPDX-License-Identifier: Apache-2.0
/// @file
/// How much fast memory the experts get, and how the layers share it.
#pragma once

#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>

#include <cstdint>
#include <limits>
#include <vector>

namespace buddy::inline v0 {

/// One pool for all layers, or one for each.
enum class pool_layout : std::uint8_t { global, per_layer };

/// Bytes of fast memory for expert records.
struct cache_budget {
  std::uint64_t bytes{};
  pool_layout layout{pool_layout::per_layer};
  /// [n_layers] bytes of one record of each layer (quantised files mix formats), or empty: all `shape.expert_bytes`.
  std::vector<std::uint64_t> layer_bytes{};
  /// [n_layers] slots of each layer's pool (`split_by_marginal_gain` finds them), or empty: as many for every layer.
  /// Only for `per_layer`; together they must fit in `bytes`.
  std::vector<std::uint32_t> layer_slots{};

  /// floor(ratio x n_experts) records for every layer.
  /// @param ratio  cache ratio, in (0, 1]
  /// @throws config_error when the shape is invalid, the ratio is out of range or leaves no slot, or the bytes are 2^64
  ///         or more
  static cache_budget from_ratio(model_shape const& shape, double ratio, pool_layout layout = pool_layout::per_layer) {
    if (!(ratio > 0.0 && ratio <= 1.0))
      detail::throw_config_error("buddy::cache_budget: cache ratio must be in (0, 1]");
    validate(shape);
    // A ratio like 0.29 x 100 is 28.999... in binary: the smallest step that counts as the next whole slot.
    auto const slots = static_cast<std::uint64_t>(ratio * shape.n_experts + 1e-9);
    if (slots == 0)
      detail::throw_config_error("buddy::cache_budget: cache ratio leaves no slot: ratio * n_experts < 1");
    std::uint64_t const records = slots * shape.n_layers;
    if (shape.expert_bytes > std::numeric_limits<std::uint64_t>::max() / records)
      detail::throw_config_error("buddy::cache_budget: records x expert_bytes must be below 2^64");
    return {records * shape.expert_bytes, layout};
  }

  /// The same budget after something else took its share, such as a low-precision copy of every expert: what is
  /// compared at equal bytes pays for its stand-ins with slots.
  /// @throws config_error when nothing is left
  [[nodiscard]] cache_budget less(std::uint64_t taken) const {
    if (taken >= bytes) detail::throw_config_error("buddy::cache_budget: what is always resident takes all the bytes");
    return {bytes - taken, layout, layer_bytes, layer_slots};
  }
};

namespace detail {

/// [n_layers] record sizes of a budget, checked.
inline std::vector<std::uint64_t> record_sizes(model_shape const& shape, cache_budget const& budget) {
  std::vector<std::uint64_t> sizes = budget.layer_bytes;
  if (sizes.empty()) sizes.assign(shape.n_layers, shape.expert_bytes);
  if (sizes.size() != shape.n_layers)
    throw_config_error("buddy::cache_budget: layer_bytes must have one entry for each layer");
  for (auto const size : sizes)
    if (size == 0) throw_config_error("buddy::cache_budget: layer_bytes must be at least 1");
  return sizes;
}

}  // namespace detail

}  // namespace buddy::inline v0
