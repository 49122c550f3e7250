// SPDX-License-Identifier: Apache-2.0
// Routing as a skewed router makes it, from a seed.
#pragma once

#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/splitmix64.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

/// The routing of one batch after the other; some experts are popular, some scores are equal.
class random_routing {
 public:
  random_routing(buddy::model_shape const& shape, std::uint32_t n_tokens, std::uint64_t seed)
      : shape_(shape),
        n_tokens_(n_tokens),
        state_(buddy::splitmix64(seed)),
        experts_(std::size_t{n_tokens} * shape.top_k),
        weights_(experts_.size()),
        scores_(std::size_t{n_tokens} * shape.n_experts),
        order_(shape.n_experts) {}

  /// Views into this object, until the next call.
  buddy::routing next() {
    for (std::uint32_t t = 0; t != n_tokens_; ++t) fill_token(t);
    return {{experts_.data(), static_cast<std::uint32_t>(experts_.size())},
            {weights_.data(), static_cast<std::uint32_t>(weights_.size())},
            {scores_.data(), static_cast<std::uint32_t>(scores_.size())},
            n_tokens_};
  }

  std::uint32_t below(std::uint32_t n) { return buddy::below(state_ = buddy::splitmix64(state_), n); }

 private:
  void fill_token(std::uint32_t t) {
    float* const scores = scores_.data() + std::size_t{t} * shape_.n_experts;
    std::uint32_t sum = 0;
    std::vector<std::uint32_t> points(shape_.n_experts);
    for (std::uint32_t e = 0; e != shape_.n_experts; ++e) {
      points[e] = below(8) + (e % 3 == 0 ? below(6) : 0);  // few values: many ties, and some scores of 0
      sum += points[e];
    }
    for (std::uint32_t e = 0; e != shape_.n_experts; ++e)
      scores[e] = sum == 0 ? 0.0F : static_cast<float>(points[e]) / static_cast<float>(sum);
    std::iota(order_.begin(), order_.end(), std::uint16_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
    for (std::uint32_t s = 0; s != shape_.top_k; ++s) {
      std::size_t const i = std::size_t{t} * shape_.top_k + s;
      experts_[i] = order_[s];
      weights_[i] = scores[order_[s]] * 2.5F;  // models apply a factor
    }
  }

  buddy::model_shape shape_;
  std::uint32_t n_tokens_;
  std::uint64_t state_;
  std::vector<std::uint16_t> experts_;
  std::vector<float> weights_;
  std::vector<float> scores_;
  std::vector<std::uint16_t> order_;
};
