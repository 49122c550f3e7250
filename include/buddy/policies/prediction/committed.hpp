// SPDX-License-Identifier: Apache-2.0
/// @file
/// Routing by prediction: the predicted experts run whatever the router says. An experiment; not part of `policy`.
///
/// Source: the route-ahead mode of BigMoeOnEdge. Differs from it: the weights' sum is the true routing's, whether the
/// model normalises it or not.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <array>
#include <cstdint>

namespace buddy::inline v0::prediction {

/// Turns a prediction made earlier and the router's scores of now into a routing of one token.
///
/// Copies of what was predicted are then never wasted and never late, at the price of the model's exactness.
class committed {
 public:
  /// @throws config_error when the shape is not valid
  explicit committed(model_shape const& shape) : top_k_((validate(shape), shape.top_k)) {}

  /// The first top_k predicted experts by falling score; each weighs its score, scaled so that the sum is that of the
  /// true weights. A prediction that is too short, or scores of 0 for all of it, leave the routing as it is.
  /// @param predicted  distinct ids, best first
  /// @param truth      one token, with scores
  /// @returns a routing valid until the next call, or as long as `truth`
  /// Time O(top_k^2).
  [[nodiscard]] routing commit(view<std::uint16_t const> predicted, routing const& truth) noexcept {
    BUDDY_ASSERT(truth.n_tokens == 1 && !truth.scores.empty() && truth.experts.size == top_k_);
    if (predicted.size < top_k_) return truth;
    sort(predicted.part(0, top_k_), truth.scores);
    float scores = 0.0F;
    float weights = 0.0F;
    for (std::uint32_t s = 0; s != top_k_; ++s) {
      scores += truth.scores[experts_[s]];
      weights += truth.weights[s];
    }
    if (!(scores > 0.0F)) return truth;
    for (std::uint32_t s = 0; s != top_k_; ++s) weights_[s] = truth.scores[experts_[s]] * (weights / scores);
    routing r = truth;
    r.experts = {experts_.data(), top_k_};
    r.weights = {weights_.data(), top_k_};
    return r;
  }

 private:
  void sort(view<std::uint16_t const> predicted, view<float const> scores) noexcept {
    for (std::uint32_t n = 0; n != predicted.size; ++n) {
      std::uint16_t const e = predicted[n];
      std::uint32_t i = n;
      for (; i != 0 && comes_before(e, experts_[i - 1], scores); --i) experts_[i] = experts_[i - 1];
      experts_[i] = e;
    }
  }

  static bool comes_before(std::uint16_t a, std::uint16_t b, view<float const> scores) noexcept {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  }

  std::uint16_t top_k_;
  std::array<std::uint16_t, max_top_k> experts_{};
  std::array<float, max_top_k> weights_{};
};

}  // namespace buddy::inline v0::prediction
