// SPDX-License-Identifier: Apache-2.0
// Random routing as tensors, from a seed; ties, scores of zero and what is not a number included.
#pragma once

#include "torch/torch_catch.hpp"

#include <buddy/testing/dice.hpp>

#include <buddy_torch/routing_tensors.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

struct random_sizes {
  std::int64_t n_tokens, n_experts, top_k;
  std::uint32_t resident_of_eight = 4;  ///< so many of eight experts are resident
  std::uint32_t points = 8;             ///< few values make many ties
};

inline buddy::torch::routing_tensors random_tensors(random_sizes const& size, std::uint64_t seed) {
  buddy::testing::dice random{seed};
  buddy::torch::routing_tensors r{at::empty({size.n_tokens, size.top_k}, at::kLong),
                                  at::empty({size.n_tokens, size.top_k}), at::empty({size.n_tokens, size.n_experts}),
                                  at::full({size.n_experts}, -1, at::kInt)};
  std::int32_t next_slot = 0;
  for (std::int64_t e = 0; e != size.n_experts; ++e)
    if (random.roll(8) < size.resident_of_eight) r.slot_of.data_ptr<std::int32_t>()[e] = next_slot++;
  std::vector<std::int64_t> order(static_cast<std::size_t>(size.n_experts));
  for (std::int64_t t = 0; t != size.n_tokens; ++t) {
    float* const scores = r.scores.data_ptr<float>() + t * size.n_experts;
    for (std::int64_t e = 0; e != size.n_experts; ++e)
      scores[e] = static_cast<float>(random.roll(size.points)) / static_cast<float>(8 * size.n_experts);
    if (random.chance(9)) scores[random.roll(order.size())] = std::numeric_limits<float>::quiet_NaN();
    std::iota(order.begin(), order.end(), std::int64_t{0});
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.roll(i)]);
    for (std::int64_t s = 0; s != size.top_k; ++s) {
      r.ids.data_ptr<std::int64_t>()[t * size.top_k + s] = order[static_cast<std::size_t>(s)];
      r.weights.data_ptr<float>()[t * size.top_k + s] = static_cast<float>(random.roll(40)) * 0.0371F;
    }
  }
  return r;
}
