// SPDX-License-Identifier: Apache-2.0
/// @file
/// Random tokens for the law checkers.
#pragma once

#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace buddy::inline v0::testing {

namespace detail {

/// One token in memory of its own.
struct token_sample {
  std::uint16_t layer{};
  std::uint64_t number{};
  std::vector<std::uint16_t> experts{};
  std::vector<q16> shares{};
  std::vector<float> scores{};

  [[nodiscard]] token_view as_view() const noexcept {
    auto const k = static_cast<std::uint32_t>(experts.size());
    return {layer, number, {experts.data(), k}, {shares.data(), k}, {scores.data(), std::uint32_t(scores.size())}};
  }
};

/// Few distinct levels, so that ties are common; now and then all the weight, or all but none, on one expert.
inline token_sample random_token(model_shape const& shape, dice& random) {
  token_sample t{static_cast<std::uint16_t>(random.roll(shape.n_layers)), random.next(), {}, {}, {}};
  std::vector<std::uint16_t> ids(shape.n_experts);
  for (std::uint16_t e = 0; e != shape.n_experts; ++e) ids[e] = e;
  std::uint32_t const levels = 1 + random.roll(8);
  std::vector<float> weights;
  for (std::size_t s = 0; s != shape.top_k; ++s) {
    std::swap(ids[s], ids[s + random.roll(ids.size() - s)]);
    t.experts.push_back(ids[s]);
    weights.push_back(static_cast<float>(random.roll(levels + 1)));
  }
  if (random.roll(4) == 0) weights[random.roll(weights.size())] = 1000.0F;
  t.shares.resize(shape.top_k);
  normalise({weights.data(), shape.top_k}, {t.shares.data(), shape.top_k});
  if (random.roll(4) != 0) {
    for (std::uint32_t e = 0; e != shape.n_experts; ++e)
      t.scores.push_back(static_cast<float>(random.roll(16)) / 16.0F);
  }
  return t;
}

}  // namespace detail

}  // namespace buddy::inline v0::testing
