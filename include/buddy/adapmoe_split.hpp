// SPDX-License-Identifier: Apache-2.0
/// @file
/// AdapMoE's cache allocation: slots from a model of uniform routing and the accuracy of the prefetcher.
///
/// Source: Zhong et al., "AdapMoE", arXiv:2408.10284, section on cache allocation, and `src/dp.py` of its code. Differs
/// from it: any top_k and number of experts, by the derivation below, which gives its formula for two of eight; every
/// layer gets at least `min_slots`, where its code may leave the first layers without.
#pragma once

#include <buddy/error.hpp>
#include <buddy/layer_split.hpp>
#include <buddy/model_shape.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// What AdapMoE measures of one layer beforehand.
struct adapmoe_layer {
  double accuracy{};      ///< share of tokens whose prefetched expert is asked for, in [0, 1]
  double single_ratio{};  ///< share of tokens for which the gate keeps one expert only, in [0, 1]
};

/// Experts that a token is expected to load on demand when its layer has `slots` slots.
///
/// Experts are routed to uniformly and so are the residents, so j asked-for experts miss m times, m hypergeometric:
/// E[m] = j (1 - n/E), and none misses with probability P0 = C(n, j) / C(E, j). A right prefetch, made with probability
/// `accuracy`, brings one of the missing: it leaves E[max(0, m - 1)] = E[m] - 1 + P0. A token asks for one expert with
/// probability `single_ratio`, else for top_k.
[[nodiscard]] inline double adapmoe_loads(adapmoe_layer const& layer, std::uint32_t slots, std::uint32_t n_experts,
                                          std::uint32_t top_k) noexcept {
  auto const expected = [&](std::uint32_t asked) {
    double const n = slots < n_experts ? slots : n_experts;
    double const missing = asked * (1.0 - n / n_experts);
    double none_missing = 1.0;
    for (std::uint32_t i = 0; i != asked; ++i)
      none_missing *= n > i ? (n - i) / static_cast<double>(n_experts - i) : 0.0;
    return (1.0 - layer.accuracy) * missing + layer.accuracy * (missing - 1.0 + none_missing);
  };
  return layer.single_ratio * expected(1) + (1.0 - layer.single_ratio) * expected(top_k);
}

/// The split with the fewest expected loads, by dynamic programming as published.
/// @param layers  [n_layers]
/// @returns [n_layers] slots, for `cache_budget::layer_slots`
/// @throws config_error when the shape is not valid, the sizes differ, a share is not in [0, 1], or the slots do not
///         suffice for `min_slots` in each layer
/// Time O(n_layers x total_slots x n_experts), memory O(n_layers x total_slots).
[[nodiscard]] inline std::vector<std::uint32_t> split_adapmoe(model_shape const& shape,
                                                              std::vector<adapmoe_layer> const& layers,
                                                              std::uint64_t total_slots, std::uint32_t min_slots = 1) {
  validate(shape);
  if (layers.size() != shape.n_layers)
    detail::throw_config_error("buddy::split_adapmoe: layers must have one entry for each layer");
  auto const share = [](double x) { return x >= 0.0 && x <= 1.0; };
  for (auto const& layer : layers)
    if (!share(layer.accuracy) || !share(layer.single_ratio))
      detail::throw_config_error("buddy::split_adapmoe: accuracy and single_ratio must be in [0, 1]");
  return detail::cheapest_split<double>(std::vector<std::size_t>(layers.size(), shape.n_experts), total_slots,
                                        min_slots, [&](std::size_t l, std::uint32_t slots) {
                                          return adapmoe_loads(layers[l], slots, shape.n_experts, shape.top_k);
                                        });
}

}  // namespace buddy::inline v0
